"""`make pictures`: the pictures of the screens in the README, from the screens themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from recovery.tui.screens.review import Review
from tests.demo.stage import say
from tests.support import little
from tests.tui.pilot import Hand, play

PICTURES = Path(__file__).with_name("pictures")
GiB = 1 << 30
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # would be fetched from elsewhere: any fixed font will do
_FAMILY = re.compile(r"font-family: Fira Code\b[^;]*;")


def machine(path: Path) -> Path:
    """A machine as people have them: an inner disk, the stick, and an empty disk for the new start."""
    disks = []
    for node, model, serial, transport, size, parts in (
        ("/dev/nvme0n1", "Samsung SSD 980 1TB", "S649NX0T514829K", "nvme", 1000204886016, (1, 16, 860, 64)),
        ("/dev/sda", "WDC WD40EZAX-00C8UB0", "WD-WX72D63A9K1F", "sata", 4000787030016, (3700,)),
        ("/dev/sdb", "SanDisk Ultra Fit", "4C530001230607115402", "usb", 30752000000, (2,)),
    ):
        at, partitions = 1 << 20, []
        for number, gib in enumerate(parts, 1):
            name = f"{node}p{number}" if node[-1].isdigit() else f"{node}{number}"
            partitions.append({"path": name, "number": number, "start": at, "size": gib * GiB})
            at += gib * GiB
        identity = {
            "path": node, "kind": "disk", "size": size, "model": model, "serial": serial, "transport": transport,
        }  # fmt: skip
        disks.append({"identity": identity, "partitions": partitions, "removable": transport == "usb"})
    path.write_text(json.dumps({"format": "jurymast-machine", "version": 1, "disks": disks}))
    return path


def main() -> None:
    """Draw them anew. Sizes, rates and times are those of this run."""
    PICTURES.mkdir(exist_ok=True)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.environ["MTOOLS_SKIP_CHECK"] = "1"
    place = Path(tempfile.gettempdir(), "disks")  # stands in the pictures
    place.mkdir()
    try:
        little.fill(place / "tree")
        disk, target = place / "laptop.img", place / "new-disk.img"
        little.disk(disk, place / "tree")
        little.sparse_file(target, little.DISK_SIZE * 3 // 2)
        described = machine(place / "machine.json")
        os.chdir(place)
        play(_home, machines=[described])
        play(_restore, images=[disk, target])
    finally:
        shutil.rmtree(place)
    for picture in sorted(PICTURES.glob("*.svg")):
        picture.write_text(_FAMILY.sub("font-family: monospace;", _FONT.sub("", picture.read_text())))
        say(f"{picture.name}: {picture.stat().st_size // 1024} KiB")


async def _home(hand: Hand) -> None:
    await hand.see("SanDisk")
    _draw(hand, "home")


async def _restore(hand: Hand) -> None:
    await hand.see("laptop.img")
    await hand.choose("Back up")
    await hand.choose("laptop.img")
    await hand.push("continue")
    await hand.path(Path.cwd() / "laptop.jmi")
    await hand.push("continue")
    await hand.push("start")
    await hand.report()
    _draw(hand, "report")
    await hand.press("enter")
    await hand.choose("Restore")
    await hand.path(Path.cwd() / "laptop.jmi")
    await hand.choose("Everything")
    await hand.choose("new-disk.img")
    await hand.push("continue")
    await hand.on(Review)
    await hand.until(lambda: bool(hand.screen.query_one("#ask").display), "the question")
    await hand.type("new-disk.img")
    _draw(hand, "review")


def _draw(hand: Hand, name: str) -> None:
    hand.app.save_screenshot(f"{name}.svg", str(PICTURES))


if __name__ == "__main__":
    main()
