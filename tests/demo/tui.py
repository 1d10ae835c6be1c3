"""`make tui-demo`: the screens on two image files in the place of disks, to try everything without risk."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.demo.stage import FOLDER, say
from tests.support import little

PLACE = FOLDER.with_name("tui-demo")


def make() -> list[Path]:
    """A disk with two partitions and files, and an empty one that is larger. What is there already is kept."""
    PLACE.mkdir(exist_ok=True)
    full, empty = PLACE / "full.img", PLACE / "empty.img"
    if not full.exists():
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder, "tree")
            little.fill(tree)
            unfinished = PLACE / "full.img.new"
            little.disk(unfinished, tree)
            unfinished.rename(full)
    if not empty.exists():
        with empty.open("wb") as file:
            file.truncate(64 << 20)
    return [full, empty]


def main() -> None:
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.environ["MTOOLS_SKIP_CHECK"] = "1"
    os.environ["JURYMAST_STATE"] = str(PLACE / "state")
    if shutil.which("sfdisk") is None:
        sys.exit("sfdisk is missing. Please run: sudo apt-get install fdisk")
    images = make()
    say(f"The disks of this demo are files in {PLACE.name}/; remove it to begin anew.")
    os.chdir(PLACE)
    options = [text for image in images for text in ("--image", image.name)]
    os.environ["PYTHONPATH"] = str(FOLDER.parent)
    os.execv(sys.executable, [sys.executable, "-m", "recovery", "tui", *options])


if __name__ == "__main__":
    main()
