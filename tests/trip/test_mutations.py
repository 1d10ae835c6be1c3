"""Good images with bytes changed at random, and cut short: bounded time and memory, and what is said holds."""

from __future__ import annotations

import random

import pytest

from tests.trip.compare import data_of
from tests.trip.engine import Image
from tests.trip.patient import Patient

KiB = 1 << 10
ROUNDS = 12
VICTIMS = [
    ("ntfs", "cluster-4096"), ("ntfs", "cluster-512"), ("ntfs", "paging"), ("ntfs", "fragmented-mft"),
    ("ext", "ext2-rev0"), ("ext", "ext3-1k"), ("ext", "ext4-1k"), ("ext", "ext4-bigalloc-1k"),
    ("ext", "ext3-4k-recover"),
    ("fat", "fat12-fragmented"), ("fat", "fat16-fragmented"), ("fat", "fat32"),
    ("fat", "exfat-fragmented"), ("fat", "exfat-c512"),
    ("raw", "swap_4k"), ("raw", "luks2"),
]  # fmt: skip
TABLES = ["gpt", "gpt-4kn", "gpt-hybrid", "mbr-logicals", "mbr-two-extended", "fat-bare-fake-mbr"]


@pytest.mark.parametrize(("area", "name"), VICTIMS)
def test_flipped_bytes_do_no_harm(patient: Patient, image: Image, area: str, name: str) -> None:
    """A few changes in the first structures, or many anywhere in what is not a hole."""
    source = image(area, name)
    size = source.stat().st_size
    anywhere = [tuple(e) for e in data_of(source)]
    first = [(0, min(size, 16 * KiB))]
    for seed in range(ROUNDS):
        few = seed % 2 == 0
        answer = patient.travel(source, seed=seed, flips=3 if few else 200, within=first if few else anywhere)
        assert answer["outcome"] in ("ok", "losses") and not answer["refused"], answer
        assert (answer["outcome"] == "losses") == ("FAILED" in answer["proofs"])


@pytest.mark.parametrize(("area", "name"), VICTIMS)
def test_cut_short_does_no_harm(patient: Patient, image: Image, area: str, name: str) -> None:
    source = image(area, name)
    rng = random.Random(8)
    size = source.stat().st_size
    for cut in (512, 4096, size // 2, size - 512, rng.randrange(size), rng.randrange(size) // 512 * 512):
        answer = patient.travel(source, cut=cut)
        if answer["outcome"] == "error":
            assert cut % 512, answer  # an image that is not made of sectors
            continue
        assert answer["outcome"] in ("ok", "losses") and not answer["refused"], answer
        if area in ("ntfs", "fat") and cut < size - 4096:
            assert answer["proofs"] != ["PROVEN"], answer


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_does_no_harm(patient: Patient, image: Image, name: str) -> None:
    source = image("table", name)
    size = source.stat().st_size
    ends = [(0, 512), (512, 4096), (446, 512), (size - 33 * 512, size), (4096, 20 * KiB)]
    restored = 0
    for seed in range(ROUNDS):
        answer = patient.travel(source, seed=seed, flips=1 + seed % 5, within=ends)
        assert answer["outcome"] in ("ok", "losses", "error"), answer
        restored += answer["outcome"] == "ok" and not answer["refused"]
    for cut in (100, 512, 1024, 16 * KiB, size // 2, size - 512):
        answer = patient.travel(source, cut=cut)
        assert answer["outcome"] in ("ok", "losses", "error"), answer
    assert restored > ROUNDS // 3
