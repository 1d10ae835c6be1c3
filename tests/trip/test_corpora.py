"""The images that others made: the readable ones come back as they were, the broken ones do no harm."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.oracles import CHECKERS, EXT, FAT
from tests.support.tools import need, need_corpora
from tests.support.tree import digest
from tests.trip.corpus import BROKEN, HEAD_OF_A_DISK, READABLE, names, unpack
from tests.trip.patient import Patient

CHECKED_FOR_EVER = {"ext/e2fsprogs/f_illitable_flexbg/image.gz"}  # e2fsck -fn does not come to an end on it
READ_FOR_EVER = {"ext/e2fsprogs/f_ea_inode_self_ref/image.gz", "ext/e2fsprogs/f_ea_value_crash/image.gz"}  # nor debugfs
MAPPED = {"ntfs", "exfat", *EXT, *FAT, "swap"}


@pytest.mark.parametrize("name", sorted({*names(READABLE)} - {HEAD_OF_A_DISK}))
def test_a_readable_image_comes_back(patient: Patient, tmp_path: Path, name: str) -> None:
    need_corpora()
    source = unpack(name, tmp_path / "source.img")
    answer = patient.travel(source)
    source.unlink()
    assert (answer["outcome"], answer["refused"]) == ("ok", "")
    for kind, proof in zip(answer["kinds"], answer["proofs"], strict=True):
        assert proof == ("PROVEN" if kind in MAPPED else "STORED-RAW")


@pytest.mark.parametrize("name", names(BROKEN))
def test_a_broken_image_does_no_harm(patient: Patient, tmp_path: Path, name: str) -> None:
    """And its checker finds in the copy exactly what it found in the source; whoever is PROVEN has all its files."""
    need_corpora()
    source, target = unpack(name, tmp_path / "source.img"), tmp_path / "target.img"
    answer = patient.travel(source, keep=str(target))
    assert answer["outcome"] in ("ok", "losses") and not answer["refused"]
    (kind,), (proof,) = answer["kinds"], answer["proofs"]
    assert (answer["outcome"] == "losses") == (proof == "FAILED")
    if kind in CHECKERS and name not in CHECKED_FOR_EVER:
        assert complaints(kind, target) == complaints(kind, source)
    if proof == "PROVEN" and kind in EXT + FAT and name not in READ_FOR_EVER:
        assert files(kind, target, tmp_path / "copy") == files(kind, source, tmp_path / "original")


def complaints(kind: str, image: Path) -> tuple[int, str]:
    argv = CHECKERS[kind]
    need(argv[0])
    done = subprocess.run([*argv, image], capture_output=True, timeout=60, check=False)
    text = (done.stdout + done.stderr).decode(errors="replace").replace(str(image), "IMAGE")
    text = re.sub(r"\d{12,}", "GARBAGE", text)  # e2fsck prints memory that it never set
    return done.returncode, re.split(r"Signal \(\d+\) SIG", text)[0]  # and crashes, at another address each time


def files(kind: str, image: Path, to: Path) -> dict[str, str]:
    """What another program can get out of a damaged volume."""
    to.mkdir()
    if kind in EXT:
        argv = ["debugfs", "-R", f"rdump / {to}", str(image)]
    else:
        argv = ["mcopy", "-s", "-n", "-i", str(image), "::/", f"{to}/"]
    need(argv[0])
    try:
        subprocess.run(argv, capture_output=True, timeout=60, check=False)
        found = digest(to)
    finally:
        shutil.rmtree(to)
    return found
