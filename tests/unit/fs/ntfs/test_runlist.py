from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fs.ntfs.runlist import HOLE, decode_runs
from tests.support.ntfs_images import encode_runs

CLUSTERS = 1 << 40


@given(
    st.lists(st.tuples(st.none() | st.integers(0, CLUSTERS - 1), st.integers(1, 1 << 30)), max_size=40),
    st.integers(0, 1 << 40),
)
def test_what_is_encoded_is_decoded(runs: list[tuple[int | None, int]], vcn: int) -> None:
    data = encode_runs(runs)
    found, fault = decode_runs(data, 0, len(data), vcn, 2 * CLUSTERS)
    expected = []
    for lcn, length in runs:
        expected.append((vcn, HOLE if lcn is None else lcn, length))
        vcn += length
    assert (found, fault) == (expected, "")


@given(st.binary(max_size=60), st.integers(0, 1 << 60), st.integers(1, 1 << 42))
def test_any_bytes_give_runs_inside_the_volume(data: bytes, vcn: int, clusters: int) -> None:
    runs, _ = decode_runs(data, 0, len(data), vcn, clusters)
    assert len(runs) <= len(data) // 2
    for _, lcn, length in runs:
        assert length > 0
        assert lcn == HOLE or 0 <= lcn < lcn + length <= clusters


def test_known_bytes() -> None:
    # The example of the ntfs-3g documentation: 0x21 0x18 0x34 0x56 is 24 clusters from 0x5634 on.
    assert decode_runs(bytes.fromhex("2118345600"), 0, 5, 0, 1 << 20) == ([(0, 0x5634, 0x18)], "")
    # A backward step and a hole.
    data = bytes.fromhex("1104 0a 0102 1103 fc 00".replace(" ", ""))
    assert decode_runs(data, 0, len(data), 7, 100) == ([(7, 10, 4), (11, HOLE, 2), (13, 6, 3)], "")


def test_a_run_that_leaves_the_volume_is_cut_there() -> None:
    data = encode_runs([(90, 20), (5, 2)])
    runs, fault = decode_runs(data, 0, len(data), 0, 100)
    assert runs == [(0, 90, 10), (20, 5, 2)]
    assert "from cluster 90 to 110" in fault
    assert decode_runs(encode_runs([(200, 3)]), 0, 99, 0, 100)[0] == []


def test_damage_ends_the_list_and_is_named() -> None:
    for text in ("1104", "10", "91010101010101010101", "1100ff00", "0900", "1101ff00"):
        data = bytes.fromhex(text)
        assert decode_runs(data, 0, len(data), 0, 100)[1] != "" or text == "1101ff00"
    # -1 was how NT before 3.5 wrote a hole.
    assert decode_runs(bytes.fromhex("1101ff00"), 0, 4, 0, 100) == ([(0, HOLE, 1)], "")
    assert "does not end" in decode_runs(encode_runs([(1, 1)])[:-1], 0, 3, 0, 100)[1]
