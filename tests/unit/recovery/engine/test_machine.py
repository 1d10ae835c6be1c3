"""Machines as JSON: what was written is read, and nothing else leaves but our errors."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.base.errors import Corrupt, DeviceError, FormatError, Unsupported
from recovery.engine import machine
from recovery.engine.identity import DeviceIdentity
from recovery.engine.inventory import Disk, list_disks
from recovery.engine.machine import dump_machine, load_machine, parse_machine
from recovery.engine.mounts import Mount
from recovery.engine.sysblock import PartitionNode

TEXT = st.text(max_size=12)
NUMBER = st.integers(0, (1 << 63) - 1)
IDENTITIES = st.builds(
    DeviceIdentity, path=TEXT, kind=TEXT, size=NUMBER, logical_sector=NUMBER, physical_sector=NUMBER, model=TEXT,
    serial=TEXT, wwn=TEXT, transport=TEXT, dev=TEXT, start=NUMBER, disk_sequence=NUMBER,
    inode=st.tuples(NUMBER, NUMBER), backing=TEXT,
)  # fmt: skip
MOUNTS = st.builds(
    Mount,
    mountpoint=TEXT,
    device=TEXT,
    fstype=TEXT,
    read_only=st.booleans(),
    dev=TEXT,
    mount_id=NUMBER,
    options=TEXT,
)
NODES = st.builds(PartitionNode, path=TEXT, number=NUMBER, start=NUMBER, size=NUMBER)
DISKS = st.builds(
    Disk, identity=IDENTITIES, removable=st.booleans(), read_only=st.booleans(), rotational=st.booleans(),
    holders=st.lists(TEXT, max_size=2).map(tuple), partitions=st.lists(NODES, max_size=2).map(tuple),
    mounts=st.lists(MOUNTS, max_size=2).map(tuple), swaps=st.lists(TEXT, max_size=2).map(tuple),
    boot_medium=st.booleans(), live_medium=st.booleans(),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(DISKS, max_size=3))
def test_what_is_written_is_read(disks: list[Disk]) -> None:
    assert parse_machine(dump_machine(disks).encode()) == disks


def test_this_machine(tmp_path: Path) -> None:
    disks = list_disks()
    path = tmp_path / "machine.json"
    path.write_text(dump_machine(disks))
    assert load_machine(path) == disks


def test_the_least_that_is_needed() -> None:
    text = b'{"format": "jurymast-machine", "version": 1, "disks": [{"identity": {"path": "/dev/sda", "kind": "disk", "size": 5}}]}'  # noqa: E501
    assert parse_machine(text) == [Disk(DeviceIdentity("/dev/sda", "disk", 5))]


def body(**changes: object) -> dict[str, object]:
    return {"format": "jurymast-machine", "version": 1, "disks": [], **changes}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([], "machine"),
        (body(format="x"), "machine.format"),
        (body(disks=None), "disks"),
        (body(extra=1), "machine"),
        (body(disks=[7]), "disks[0]"),
        (body(disks=[{}]), "disks[0].identity"),
        (body(disks=[{"identity": {"path": "a", "kind": "disk"}}]), "disks[0].identity.size"),
        (body(disks=[{"identity": {"path": "a", "kind": "disk", "size": -1}}]), "disks[0].identity.size"),
        (body(disks=[{"identity": {"path": "a", "kind": "disk", "size": True}}]), "disks[0].identity.size"),
        (body(disks=[{"identity": {"path": "a", "kind": "disk", "size": 1 << 63}}]), "disks[0].identity.size"),
        (body(disks=[{"identity": {"path": "a", "kind": "disk", "size": 1, "inode": [1]}}]), ".inode"),
        (body(disks=[{"identity": {"path": "a", "kind": "disk", "size": 1, "serail": "x"}}]), "disks[0].identity"),
        (body(disks=[{"identity": {"path": "a", "kind": "d", "size": 1}, "mounts": [{}]}]), "mounts[0].mountpoint"),
        (body(disks=[{"identity": {"path": "a", "kind": "d", "size": 1}, "swaps": [1]}]), "swaps[0]"),
        (body(disks=[{"identity": {"path": "a", "kind": "d", "size": 1}, "removable": 1}]), "removable"),
    ],
)
def test_the_place_of_a_fault_is_named(value: object, place: str) -> None:
    with pytest.raises(Corrupt) as caught:
        parse_machine(json.dumps(value).encode(), "m.json")
    assert caught.value.structure.endswith(place) and caught.value.source == "m.json"


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError):
        load_machine(tmp_path / "none.json")
    with pytest.raises(Unsupported, match="version 2"):
        parse_machine(json.dumps(body(version=2)).encode())
    for text in (b"", b"\xff\xfe", b"{", b"[" * 100000, b'{"a": NaN, ', b"1" * 5000):
        with pytest.raises(Corrupt):
            parse_machine(text)
    monkeypatch.setattr(machine, "_LIMIT", 10)
    (tmp_path / "long.json").write_bytes(b" " * 11)
    with pytest.raises(Corrupt, match="longer"):
        load_machine(tmp_path / "long.json")


def test_damaged_descriptions_raise_only_our_errors() -> None:
    good = dump_machine(
        [
            Disk(
                DeviceIdentity("/dev/sda", "disk", 1 << 40, serial="S"),
                partitions=(PartitionNode("/dev/sda1", 1, 1 << 20, 1 << 30),),
                mounts=(Mount("/", "/dev/sda1", "ext4", False, "8:1"),),
            )
        ]
    ).encode()
    rng = random.Random(11)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(400):
        text = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        cut = bytes(text[: rng.randrange(len(text))]) if rng.random() < 0.3 else bytes(text)
        try:
            parse_machine(cut)
            outcomes["read"] += 1
        except (FormatError, Unsupported):
            outcomes["refused"] += 1
    assert outcomes["refused"] > 200 and outcomes["read"] > 0
