"""What other programs say about a partition table, in the form of our own model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.tools import need, run

EXTENDED = {"5", "f", "85"}


@dataclass(frozen=True)
class Said:
    """One partition in sectors, as an oracle prints it."""

    number: int
    start: int
    sectors: int
    type_code: str
    unique_id: str
    name: str


def sfdisk(image: Path) -> tuple[dict[str, object], list[Said]]:
    """`sfdisk -J`: the head of the table, and the partitions that are no containers."""
    need("sfdisk")
    table = json.loads(run("sfdisk", "-J", image))["partitiontable"]
    said = [
        Said(
            int(p["node"].removeprefix(str(image)).removeprefix("p")), p["start"], p["size"], p["type"],
            p.get("uuid", ""), p.get("name", ""),
        )
        for p in table.pop("partitions", [])
        if table["label"] != "dos" or p["type"] not in EXTENDED
    ]  # fmt: skip
    return table, said


def sgdisk_info(image: Path, number: int) -> dict[str, str]:
    """`sgdisk -i`: the fields of one partition."""
    need("sgdisk")
    text = run("sgdisk", "-i", str(number), image)
    return dict(re.findall(r"^(.*?): (.*?)$", text, re.MULTILINE))


def partx(image: Path) -> list[tuple[int, int, int, str]]:
    """`partx`, that is libblkid: number, start and length in sectors of 512, PARTUUID; with extended ones."""
    need("partx")
    text = run("partx", "-g", "-r", "-o", "NR,START,SECTORS,UUID", image, ok=(0, 1))
    rows = [line.split(" ") for line in text.splitlines() if line.strip()]
    return [(int(r[0]), int(r[1]), int(r[2]), r[3] if len(r) > 3 else "") for r in rows]


def mmls_starts(image: Path, kind: str, sector_size: int = 512) -> list[tuple[int, int]]:
    """`mmls -a`: (start, sectors) of allocated volumes, in the order of the disk."""
    need("mmls")
    text = run("mmls", "-a", "-t", kind, "-b", str(sector_size), image, ok=(0, 1))
    return [(int(a), int(n)) for a, n in re.findall(r"^\d+:\s+\S+\s+(\d+)\s+\d+\s+(\d+)", text, re.MULTILINE)]


def fdisk_rows(image: Path, sector_size: int) -> list[tuple[int, int, int]]:
    """`fdisk -b N -l`: number, first and last sector of each partition of a GPT."""
    need("fdisk")
    text = run("fdisk", "-b", str(sector_size), "-l", image)
    rows = re.findall(rf"^{re.escape(str(image))}p?(\d+)\s+(\d+)\s+(\d+)\s", text, re.MULTILINE)
    return [(int(n), int(a), int(z)) for n, a, z in rows]


def parted_rows(image: Path) -> list[tuple[int, int, int]]:
    """`parted unit B print`: number, first and last byte."""
    need("parted")
    text = run("parted", "-m", "-s", image, "unit", "B", "print")
    return [(int(n), int(a), int(z)) for n, a, z in re.findall(r"^(\d+):(\d+)B:(\d+)B:", text, re.MULTILINE)]
