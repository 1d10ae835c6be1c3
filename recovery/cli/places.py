"""The command that shows where archives can be put, and mounts and unmounts such places."""

from __future__ import annotations

import sys

import click

from formats.base.units import in_words as size
from recovery.cli.output import face, json_line, say, told
from recovery.cli.parameters import json_option
from recovery.engine import attach
from recovery.engine.places import mounted_places
from recovery.engine.unmounted import list_unmounted
from recovery.words import unmounted_line


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def places(context: click.Context, as_json: bool) -> None:
    """List where an archive can be put: what is mounted, and what could be mounted."""
    if context.invoked_subcommand is not None:
        return
    with face(as_json) as shown, told(shown):
        troubles = attach.sweep()
        mounted, unmounted = mounted_places(), list_unmounted()
        ours = {one.folder for one in attach.ours()}
    if as_json:
        for place in mounted:
            body = {"type": "place", "mounted": True, "by_jurymast": place.mountpoint in ours, **place.to_json()}
            json_line(body, sys.stdout)
        for found in unmounted:
            json_line({"type": "place", "mounted": False, **found.to_json()}, sys.stdout)
        _result(places=len(mounted), unmounted=len(unmounted), troubles=[str(error) for error in troubles])
        return
    for place in mounted:
        note = ", read-only" if place.read_only else ""
        note += ", mounted by Jurymast" if place.mountpoint in ours else ""
        say(f"{place.mountpoint}   {size(place.free)} free of {size(place.size)} ({place.fstype}{note})")
    for found in unmounted:
        say(f"not mounted: {unmounted_line(found)}")
        if found.unsafe:
            say(f"    only to read from: {found.unsafe} {found.advice}")
    for error in troubles:
        say(f"Left over from an earlier run, and in use: {error}")
    if unmounted:
        say("Mount one with: jurymast places mount DEVICE")


@places.command()
@click.argument("device")
@click.option("--read-only", is_flag=True, help="Only to read from. Nothing is changed on it, not even its journal.")
@json_option
def mount(device: str, read_only: bool, as_json: bool) -> None:
    """Mount DEVICE in a folder of Jurymast's own, until it is unmounted with 'places unmount'."""
    with face(as_json) as shown, told(shown):
        attach.sweep()
        done = attach.keep(device, read_only=read_only)
    if as_json:
        _result(device=done.device, mountpoint=done.folder, fstype=done.fstype, read_only=done.read_only)
    else:
        say(f"{done.device} is mounted at {done.folder}{' to read from' if done.read_only else ''}.")


@places.command()
@click.argument("place")
@json_option
def unmount(place: str, as_json: bool) -> None:
    """Unmount PLACE, a device or folder that Jurymast has mounted; afterwards it can be taken out."""
    with face(as_json) as shown, told(shown):
        done = attach.detach(place)
    if as_json:
        _result(device=done.device, mountpoint=done.folder)
    else:
        say(f"{done.device} is unmounted, and can be taken out.")


def _result(**body: object) -> None:
    json_line({"type": "result", "outcome": "ok", "exit_code": 0, **body}, sys.stdout)
