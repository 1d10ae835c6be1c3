"""Several partitions of a backup, each into a partition of the target, judged by the bytes of the target."""

from __future__ import annotations

import random
from pathlib import Path

from recovery.engine.planners.pairing import Part, propose
from recovery.tui.screens.pick import PickOne, PickSome
from recovery.tui.screens.refusal import Refusal
from tests.support import jobs, little
from tests.support.command import here
from tests.support.tools import run, sparse_file
from tests.tui.pilot import Hand, play
from tests.tui.test_flows import used_equal

MiB = 1 << 20
# Partition 1 is somebody's own; 2 and 3 have the sizes of the little disk's.
OTHER = "label: gpt\nunit: sectors\n" + "".join(
    f"start={start * 2048}, size={size * 2048}, type=linux\n" for start, size in ((1, 8), (9, 24), (33, 16))
)


def other_disk(path: Path) -> Path:
    sparse_file(path, 52 * MiB)
    run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", path, stdin=OTHER.encode())
    with path.open("r+b") as file:
        for start, size in ((1, 8), (9, 24), (33, 16)):
            file.seek(start * MiB)
            file.write(random.Random(start).randbytes(size * MiB))
    return path


def part(disk: Path, to: Path, start: int, size: int) -> bytes:
    return little.slice_of(disk, to, start * MiB, size * MiB).read_bytes()


def test_two_partitions_go_to_the_places_that_are_proposed(tmp_path: Path, disk: Path, archive: Path) -> None:
    target = other_disk(tmp_path / "target.img")
    own = part(target, tmp_path / "own", 1, 8)

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Several partitions")
        await hand.on(PickSome)
        await hand.until(lambda: bool(hand.screen.query("#check-2")))
        hand.check_layout("several-which")
        await hand.push("continue")
        await hand.choose("target.img")
        await hand.see("Restore 1 of 2")
        await hand.on(PickOne)
        await hand.see("(proposed)")
        assert "8.0 MiB" not in hand.all_words, "too small to be chosen"
        hand.check_layout("several-where")
        await hand.press("enter")  # the proposal: partition 2
        await hand.see("Restore 2 of 2")
        await hand.see("(proposed)")
        await hand.press("enter")
        await hand.push("continue")
        await hand.see("THIS WILL BE LOST: - partition 2")
        await hand.see("partition 3: contents")
        assert "partition 1: contents" not in hand.all_words
        await hand.accept("target.img")
        assert (await hand.report()).report.headline == "RESTORED AND CHECKED"

    play(script, images=[target])
    assert part(target, tmp_path / "own after", 1, 8) == own
    got = tmp_path / "got.img"  # the two as they lie on the original
    got.write_bytes(disk.read_bytes())
    with got.open("r+b") as file:
        for start, size, to in ((9, 24, little.EXT4_START), (33, 16, little.FAT_START)):
            file.seek(to)
            file.write(part(target, tmp_path / "piece", start, size))
    assert used_equal(disk, got, little.EXT4_START, little.EXT4_SIZE)
    assert used_equal(disk, got, little.FAT_START, little.FAT_SIZE)


def test_one_step_back_asks_again_and_forgets_the_choice(tmp_path: Path, archive: Path) -> None:
    target = other_disk(tmp_path / "target.img")
    before = little.digest(target)

    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Several partitions")
        await hand.push("continue")
        await hand.choose("target.img")
        await hand.choose("(proposed)")
        await hand.see("Restore 2 of 2")
        await hand.choose("(proposed)")
        await hand.press("escape")
        await hand.see("Restore 2 of 2")
        await hand.press("escape")
        await hand.see("Restore 1 of 2")
        await hand.choose("(proposed)")
        await hand.see("Restore 2 of 2")
        await hand.choose("(proposed)")
        await hand.push("continue")
        await hand.see("THIS WILL BE LOST: - partition 2")
        await hand.see("partition 3: contents")

    play(script, images=[target])
    assert little.digest(target) == before


def test_a_target_without_room_is_explained(tmp_path: Path, disk: Path, archive: Path) -> None:
    async def script(hand: Hand) -> None:
        await hand.choose("Restore")
        await hand.path(archive)
        await hand.choose("Several partitions")
        await hand.push("continue")
        await hand.choose("already or new")
        await hand.path(tmp_path / "new.img")
        await hand.on(Refusal)
        await hand.see("has no free partition")
        await hand.see("24.0 MiB")
        await hand.see("restore the whole disk")
        hand.check_layout("refusal-several")

    play(script, images=[disk])
    assert not (tmp_path / "new.img").exists()


def test_the_command_names_only_what_is_lost(tmp_path: Path, archive: Path) -> None:
    target = other_disk(tmp_path / "target.img")
    argv = ("restore", archive, target, "--partition", "1:2", "--partition", "2:3", "--dry-run", "--json")
    plan = next(line for line in here(*argv, ok=0).lines if line["type"] == "plan")
    assert [loss["what"].split(":")[0] for loss in plan["losses"]] == ["partition 2", "partition 3"]
    assert jobs.restore(archive, target, partitions=((1, 2), (2, 3)))[1].headline == "RESTORED AND CHECKED"


def test_the_proposal_prefers_what_agrees_and_gives_each_place_once() -> None:
    wanted = [Part(1, 100, "ntfs"), Part(2, 50, "ext4"), Part(3, 50, "ext4")]
    assert propose(wanted, wanted) == {1: 1, 2: 2, 3: 3}
    assert propose(wanted, [Part(4, 50), Part(7, 100), Part(9, 50, "ext4")]) == {1: 7, 2: 9, 3: 4}
    assert propose(wanted, [Part(1, 60), Part(2, 40)]) == {2: 1}
    assert propose([Part(1, 10)], [Part(5, 900), Part(6, 20)]) == {1: 6}
    assert propose(wanted, []) == {} == propose([], wanted)
