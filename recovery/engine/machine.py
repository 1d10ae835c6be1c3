"""Machines as JSON: lists of disks written down, so that tests and screens can work without those disks.

    {"format": "jurymast-machine", "version": 1, "disks": [DISK, ...]}

DISK has the fields of `inventory.Disk` under their own names, its `identity` those of `DeviceIdentity`, and so
on; sizes in bytes. Left-out fields take the default of the class (only `identity` with `path`, `kind` and `size`
must be there). Unknown fields are an error, because a mistyped name would silently be a default.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from formats.base.errors import Corrupt, DeviceError, Unsupported
from formats.base.units import MiB
from recovery.engine.identity import DeviceIdentity
from recovery.engine.inventory import Disk
from recovery.engine.mounts import Mount
from recovery.engine.sysblock import PartitionNode

FORMAT, VERSION = "jurymast-machine", 1
_LIMIT = 16 * MiB  # of the text; a machine with a thousand disks needs 1 MiB
_MOST = 1 << 63  # no size, offset or number is larger

_T = TypeVar("_T", DeviceIdentity, Disk, Mount, PartitionNode)


def dump_machine(disks: Sequence[Disk]) -> str:
    """The text of a machine description, with a line end."""
    body = {"format": FORMAT, "version": VERSION, "disks": [disk.to_json() for disk in disks]}
    return json.dumps(body, indent=1) + "\n"


def load_machine(path: str | Path) -> list[Disk]:
    """The disks that a file describes. Raises DeviceError when it cannot be read, Corrupt and Unsupported."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(_LIMIT + 1)
    except OSError as error:
        raise DeviceError(str(path), "open", 0, 0, error.errno or 0) from error
    if len(text) > _LIMIT:
        raise Corrupt("machine description", 0, f"it is longer than {_LIMIT} bytes", source=str(path))
    return parse_machine(text, str(path))


def parse_machine(text: bytes, source: str = "") -> list[Disk]:
    """As load_machine, from the text itself."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Corrupt("machine description", 0, f"it is no JSON: {error}", source=source) from error
    reader = _Reader(source)
    top = reader.mapping(body, "machine")
    if top.get("format") != FORMAT:
        raise reader.wrong("machine.format", FORMAT, top.get("format"))
    if top.get("version") != VERSION:
        raise Unsupported("machine description", f"version {top.get('version')!r}")
    disks = [reader.disk(item, f"disks[{i}]") for i, item in enumerate(reader.items(top.get("disks"), "disks"))]
    if unknown := top.keys() - {"format", "version", "disks"}:
        raise reader.wrong("machine", "only format, version and disks", ", ".join(sorted(unknown)))
    return disks


class _Reader:
    """Turns JSON values into our classes and says where something is wrong."""

    def __init__(self, source: str) -> None:
        self._source = source

    def disk(self, value: object, where: str) -> Disk:
        raw = dict(self.mapping(value, where))
        parts: dict[str, Any] = {"identity": self.identity(raw.pop("identity", None), f"{where}.identity")}
        parts["partitions"] = self.several(PartitionNode, raw.pop("partitions", []), f"{where}.partitions")
        parts["mounts"] = self.several(Mount, raw.pop("mounts", []), f"{where}.mounts")
        for name in ("holders", "swaps"):
            listed = self.items(raw.pop(name, []), f"{where}.{name}")
            parts[name] = tuple(self.typed(item, "str", f"{where}.{name}[{i}]") for i, item in enumerate(listed))
        return self.flat(Disk, raw, where, parts)

    def several(self, kind: type[_T], value: object, where: str) -> tuple[_T, ...]:
        listed = self.items(value, where)
        return tuple(self.flat(kind, item, f"{where}[{i}]") for i, item in enumerate(listed))

    def identity(self, value: object, where: str) -> DeviceIdentity:
        raw = dict(self.mapping(value, where))
        numbers = self.items(raw.pop("inode", [0, 0]), f"{where}.inode")
        if len(numbers) != 2:
            raise self.wrong(f"{where}.inode", "two numbers", numbers)
        return self.flat(
            DeviceIdentity, raw, where, {"inode": tuple(self.typed(n, "int", f"{where}.inode") for n in numbers)}
        )

    def flat(self, kind: type[_T], value: object, where: str, done: dict[str, Any] | None = None) -> _T:
        """An object of `kind` out of strings, numbers and booleans; `done` are the fields already made."""
        raw, values = self.mapping(value, where), dict(done or {})
        for field in fields(kind):
            if field.name in values:
                continue
            if field.name in raw:
                values[field.name] = self.typed(raw[field.name], str(field.type), f"{where}.{field.name}")
            elif field.default is MISSING:
                raise self.wrong(f"{where}.{field.name}", str(field.type), "nothing")
        if unknown := raw.keys() - values.keys():
            raise self.wrong(where, "no other fields", ", ".join(sorted(unknown)))
        return kind(**values)

    def typed(self, value: object, kind: str, where: str) -> Any:
        good = {
            "str": isinstance(value, str),
            "bool": isinstance(value, bool),
            "int": isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST,
        }
        if not good.get(kind, False):
            raise self.wrong(where, kind, value)
        return value

    def mapping(self, value: object, where: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self.wrong(where, "an object", value)
        return value

    def items(self, value: object, where: str) -> list[object]:
        if not isinstance(value, list):
            raise self.wrong(where, "a list", value)
        return value

    def wrong(self, where: str, expected: str, found: object) -> Corrupt:
        return Corrupt(
            f"machine description, {where}", 0, "not as it must be", expected=expected,
            found=repr(found)[:80], source=self._source,
        )  # fmt: skip
