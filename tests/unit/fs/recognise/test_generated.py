"""Images that the tests make themselves: what blkid says of them, we say."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from formats.base.extent import Extent
from formats.base.source import FileSource, MemorySource, Window
from fs.recognise.model import Signature
from fs.recognise.signatures import SIGNATURES
from fs.registry import Content, Handling, identify_volume
from tests.support.blkid import ask
from tests.support.raw_images import GENERATORS, UUID_TEXT
from tests.support.scene import copy_sparse
from tests.support.sources import WatchedSource

KiB, MiB = 1 << 10, 1 << 20

# blkid 2.38.1 does not know these or knows them otherwise; what is true of them stands here.
OWN_TRUTH = {
    "bitlocker_to_go": ("BitLocker", "", ""),  # blkid 2.38.1 takes the cover volume for the real one
    "storage_spaces": ("storage_spaces", "", ""),
}
MAPPED = {"swap_4k", "swap_16k", "swap_64k", "swap_big_endian", "swap_version_0"}


@pytest.fixture(scope="module", params=sorted(GENERATORS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("raw") / request.param
    GENERATORS[request.param](path)
    return request.param, path


def test_as_blkid_says(made: tuple[str, Path]) -> None:
    name, path = made
    said = ask(path)
    assert said.ambivalent == ""
    truth = OWN_TRUTH.get(name, (said.kind, said.label, said.uuid))
    with FileSource(path) as source:
        watched = WatchedSource(source)
        content = identify_volume(watched)
        assert (content.identity.kind, content.identity.label, content.identity.uuid) == truth
        assert content.handling is (Handling.MAPPED if name in MAPPED else Handling.RAW)
        assert watched.reads < 400 and watched.bytes_read < 4 * MiB
        if name.startswith("suspended"):
            assert [problem.code for problem in content.problems] == ["swap.suspended"]
            assert content.identity.uuid == UUID_TEXT and "session" in content.why_raw
        elif name not in MAPPED:
            assert content.problems == ()


def test_a_partition_is_like_an_image(made: tuple[str, Path], tmp_path: Path) -> None:
    """The same bytes as a window of a larger source: no offset may count from the start of the disk."""
    _name, path = made
    size = path.stat().st_size
    shifted = tmp_path / "disk"
    with shifted.open("wb") as file:
        file.truncate(size + (3 << 20))
    copy_sparse(path, shifted, target_start=1 << 20)
    with FileSource(path) as alone, FileSource(shifted) as disk:
        inside = identify_volume(Window(disk, Extent(1 << 20, (1 << 20) + size)))
        assert inside.identity == identify_volume(alone).identity


def check_invariants(content: Content, size: int) -> None:
    """What must be true of every answer, whatever the bytes are."""
    if content.handling is Handling.RAW:
        assert content.filesystem is None
        assert content.why_raw.strip().endswith(".")
    else:
        assert content.filesystem is not None and content.why_raw == ""
        last = 0
        for start, end in content.filesystem.allocated():
            assert last <= start < end <= size
            last = end


def test_damage_never_escapes(made: tuple[str, Path]) -> None:
    """Bytes flipped where headers lie, and images cut short: always an answer, in bounded reads."""
    name, path = made
    rng = random.Random(name)
    with path.open("rb") as file:
        data = file.read(2 << 20)
    full = path.stat().st_size <= 2 << 20
    places = [at for at in range(len(data)) if data[at]][:20_000] or [0]
    for _ in range(25):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 12)):
            changed[rng.choice(places)] = rng.randrange(256)
        if not full or rng.random() < 0.3:
            del changed[rng.randrange(len(changed)) :]
        source = WatchedSource(MemorySource(bytes(changed)))
        check_invariants(identify_volume(source), source.size)
        assert source.reads < 500 and source.bytes_read < 5 << 20


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: f"{signature.kind}-{signature.magic_at:x}")
def test_a_magic_in_noise(signature: Signature) -> None:
    """Every magic at every place, with noise, ones or zeros around it: whatever is concluded, nothing breaks."""
    rng = random.Random(signature.kind)
    size = 2 * MiB + 64 * KiB
    noise = rng.randbytes(size)
    for background in (noise, bytes(size), b"\xff" * size):
        for place in signature.places(size):
            for magic in signature.magics:
                at = place + signature.magic_at
                if 0 <= at <= size - len(magic):
                    data = background[:at] + magic + background[at + len(magic) :]
                    check_invariants(identify_volume(MemorySource(data)), size)
