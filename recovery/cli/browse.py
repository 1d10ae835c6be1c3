"""The commands that look into volumes: ls, find, cat."""

from __future__ import annotations

import stat
import sys
import time

import click

from formats.base.errors import PathNotFound, Refused
from formats.base.problem import Severity
from formats.base.units import in_words as size
from fs.findings import Log
from fs.tree import FileTree, Node, NodeKind
from fs.walk import read_through, resolve, shown
from recovery.cli.exit_codes import ExitCode
from recovery.cli.lookup import complain, finish, looking, say, tell
from recovery.cli.output import json_line
from recovery.cli.parameters import json_option
from recovery.engine.browse import Place, open_place, open_volume
from recovery.engine.listing import Entry, entry_of, find, list_path, problems_of

_LETTERS = {
    NodeKind.FILE: "-",
    NodeKind.DIRECTORY: "d",
    NodeKind.SYMLINK: "l",
    NodeKind.CHARACTER_DEVICE: "c",
    NodeKind.BLOCK_DEVICE: "b",
    NodeKind.FIFO: "p",
    NodeKind.SOCKET: "s",
    NodeKind.OTHER: "?",
}
streams_option = click.option("--all-streams", is_flag=True, help="Named streams of NTFS as well.")


@click.command()
@click.argument("source", metavar="SOURCE[:N]")
@click.argument("path", required=False)
@streams_option
@json_option
def ls(source: str, path: str | None, all_streams: bool, as_json: bool) -> None:
    """List PATH in partition N of SOURCE (an archive, disk or image), or the volumes of SOURCE."""
    with looking(as_json=as_json) as token, open_place(source) as (place, selector):
        if not selector and len(place.volumes) != 1 and path is None:
            _list_volumes(place, as_json)
            return
        info = place.pick(selector)
        tree = place.tree(info)
        count = 0
        for entry in list_path(tree, path or "/", all_streams=all_streams, check=token.check):
            count += 1
            _show(entry, as_json, entry.node.name)
        code = _end(tree, Log(), as_json)
        if as_json:
            finish(code, entries=count)
    sys.exit(code)


@click.command(name="find")
@click.argument("source", metavar="SOURCE[:N]")
@click.argument("pattern")
@json_option
def find_command(source: str, pattern: str, as_json: bool) -> None:
    """Find files by name (*.jpg) or path (Users/*/Desktop/*) in partition N of SOURCE.

    Case counts on ext only. '*' also matches '/'.
    """
    with looking(as_json=as_json) as token, open_volume(source) as volume:
        log = Log()
        count = 0
        for path, node in find(volume.tree, pattern, log, token.check):
            count += 1
            if as_json:
                json_line(entry_of(volume.tree, path, node).to_json(), sys.stdout)
            else:
                say(shown(path))
        code = _end(volume.tree, log, as_json)
        if as_json:
            finish(code, entries=count)
    sys.exit(code)


@click.command()
@click.argument("source", metavar="SOURCE[:N]")
@click.argument("path", metavar="PATH[:STREAM]")
def cat(source: str, path: str) -> None:
    """Write the content of a file in partition N of SOURCE to standard output."""
    with looking(as_json=False) as token, open_volume(source) as volume:
        node, stream = _named(volume.tree, path)
        whole = "/" + path.replace("//", "/").strip("/").casefold()
        if whole in volume.place.left_out(volume.info):
            raise Refused(f"The content of {shown(path)} was left out of the archive on purpose.")
        out = sys.stdout.buffer
        for data in read_through(volume.tree.open(node, stream)):
            token.check()
            out.write(data)
        out.flush()
    sys.exit(ExitCode.OK)


def _named(tree: FileTree, path: str) -> tuple[Node, str]:
    """A file, or PATH:STREAM where no file has that whole name."""
    try:
        return resolve(tree, path), ""
    except PathNotFound:
        front, colon, stream = path.rpartition(":")
        if not colon or not stream or "/" in stream:
            raise
        return resolve(tree, front), stream


def _list_volumes(place: Place, as_json: bool) -> None:
    for volume in place.volumes:
        if as_json:
            json_line(volume.to_json(), sys.stdout)
        else:
            files = "" if volume.has_files else "  (no files to show)"
            kind = volume.kind or "unknown"
            say(f"{volume.address:>6}  {size(volume.size):>10}  {kind:<8} {shown(volume.label)}{files}".rstrip())
    if as_json:
        finish(ExitCode.OK, volumes=len(place.volumes))
    elif place.volumes:
        complain(f"Look into one of them: {place.name}:{place.volumes[0].address}")


def _show(entry: Entry, as_json: bool, name: str) -> None:
    if as_json:
        json_line(entry.to_json(), sys.stdout)
        return
    node = entry.node
    text = f"{_mode(node)} {_owner(node)} {_amount(node):>13} {_when(node)} {shown(name)}"
    if entry.target:
        text += f" -> {shown(entry.target)}"
    if node.note:
        text += f"  [{node.note}]"
    if entry.fault:
        text += f"  [cannot be read: {shown(entry.fault)}]"
    say(text)
    for stream in entry.streams:
        before = " " * (len(_mode(node)) + len(_owner(node)) + 1)
        say(f"{before} {stream.size:>13} {'':16} {shown(name)}:{shown(stream.name)}")


def _mode(node: Node) -> str:
    letter = _LETTERS[node.kind]
    if node.mode is not None:
        return letter + stat.filemode(node.mode)[1:]
    flags = "".join(c if node.attributes & bit else "-" for c, bit in zip("rhsa", (1, 2, 4, 0x20), strict=True))
    return f"{letter}{flags:<9}"


def _owner(node: Node) -> str:
    return f"{node.uid:>5} {node.gid:>5}" if node.uid is not None and node.gid is not None else ""


def _amount(node: Node) -> str:
    return f"{node.device[0]}, {node.device[1]}" if node.device else str(node.size)


def _when(node: Node) -> str:
    modified = node.times.modified
    if modified is None:
        return f"{'':16}"
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(modified // 10**9))
    except (ValueError, OverflowError, OSError):
        return f"{'(no date)':16}"


def _end(tree: FileTree, log: Log, as_json: bool) -> ExitCode:
    """Tell what was passed over. LOSSES when something could not be listed."""
    problems = problems_of(log, tree)
    tell(problems, as_json=as_json)
    return ExitCode.LOSSES if any(p.severity is Severity.ERROR for p in problems) else ExitCode.OK
