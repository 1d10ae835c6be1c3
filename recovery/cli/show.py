"""The command that shows one file: all that is known about it, or its bytes."""

from __future__ import annotations

import sys

import click

from formats.base.errors import Refused
from fs.tree import NodeKind
from fs.walk import resolve, shown
from recovery.cli.exit_codes import ExitCode
from recovery.cli.lookup import complain, finish, looking, say
from recovery.cli.output import json_line
from recovery.cli.parameters import json_option
from recovery.engine.browse import open_volume
from recovery.engine.filefacts import LEFT_OUT, facts_of
from recovery.engine.held import HeldVolume
from recovery.engine.listing import plain_path
from recovery.engine.preview import Glance, hex_lines, hex_width
from recovery.filewords import facts_text

_STEP = 32768  # bytes that are read at a time


@click.command()
@click.argument("source", metavar="SOURCE[:N]")
@click.argument("path")
@click.option("--hex", "as_hex", is_flag=True, help="Its bytes; '??' is what cannot be read.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="With --hex: the first byte.")
@click.option("--length", type=click.IntRange(min=1), default=4096, show_default=True, help="With --hex: how many.")
@json_option
def show(source: str, path: str, as_hex: bool, offset: int, length: int, as_json: bool) -> None:
    """Tell all that is known about PATH in partition N of SOURCE: size, times, streams, what kind of picture it is."""
    code = ExitCode.OK
    with looking(as_json=as_json) as token, open_volume(source) as volume:
        left_out = volume.place.left_out(volume.info)
        if as_hex:
            node = resolve(volume.tree, path)
            if plain_path(path).casefold() in left_out:
                raise Refused(f"{shown(path)}: {LEFT_OUT}.")
            if node.kind is not NodeKind.FILE:
                raise Refused(f"{shown(path)} is no file ({node.kind.value}).")
            glance = Glance(volume.tree.open(node))
            end = min(glance.size, offset + length)
            step = _STEP // hex_width(glance.size) * hex_width(glance.size)
            for at in range(offset, end, step):
                token.check()
                chunk = glance.read(at, min(step, end - at))
                code = ExitCode.LOSSES if chunk.bad else code
                if as_json:
                    bad = [list(pair) for pair in chunk.bad]
                    json_line({"type": "bytes", "offset": at, "hex": chunk.data.hex(), "unreadable": bad}, sys.stdout)
                else:
                    for line in hex_lines(chunk, glance.size):
                        say(line)
            if glance.reason and not as_json:
                complain(f"error: {shown(path)}: {shown(glance.reason)}")
            if as_json:
                finish(code, bytes=max(0, end - offset), fault=glance.reason)
        else:
            facts = facts_of(
                volume.tree, path, left_out, volume.source if isinstance(volume.source, HeldVolume) else None
            )
            damaged = bool(facts.missing or facts.entry.fault or (facts.fault and facts.fault != LEFT_OUT))
            code = ExitCode.LOSSES if damaged else ExitCode.OK
            if as_json:
                json_line(facts.to_json(), sys.stdout)
                finish(code)
            else:
                for what, value in facts_text(facts, ext=volume.info.kind.startswith("ext")):
                    say(f"{what:<11} {value}")
    sys.exit(code)
