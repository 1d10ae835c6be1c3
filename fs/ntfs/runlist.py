"""Run lists (mapping pairs): which clusters an attribute occupies.

Source: ntfs-3g runlist.c. A run is (vcn, lcn, length) in clusters; lcn HOLE is a sparse run.
"""

from __future__ import annotations

from typing import NamedTuple

HOLE = -1
MAX_VCN = 1 << 52  # 2^63 bytes in clusters of 2 KiB; keeps sums small


class Run(NamedTuple):
    """`length` clusters of an attribute from `vcn` on, stored from cluster `lcn` of the volume on."""

    vcn: int
    lcn: int
    length: int


def decode_runs(
    data: bytes | bytearray, at: int, end: int, vcn: int, clusters: int
) -> tuple[list[tuple[int, int, int]], str]:
    """The runs in data[at:end], the first at cluster `vcn` of its attribute, on a volume of `clusters` clusters.

    Returns plain (vcn, lcn, length) and '' or what is wrong. A run that leaves the volume is cut there; bytes that
    cannot be decoded end the list. Never raises for any bytes as long as 0 <= at <= end <= len(data).
    """
    runs: list[tuple[int, int, int]] = []
    lcn = 0
    fault = ""
    number = int.from_bytes
    while at < end:
        head = data[at]
        if not head:
            return runs, fault
        low = head & 15
        middle = at + 1 + low
        at = middle + (head >> 4)
        if not 0 < low <= 8 or head > 0x8F or at > end:
            return runs, f"run {len(runs)} has the impossible header {head:#04x}"
        length = number(data[middle - low : middle], "little", signed=True)
        if length <= 0 or vcn + length > MAX_VCN:
            return runs, f"run {len(runs)} has the impossible length {length}"
        if head > 15:
            lcn += number(data[middle:at], "little", signed=True)
            if lcn >= 0:
                if lcn + length > clusters:
                    fault = f"run {len(runs)} from cluster {lcn} to {lcn + length} leaves the volume of {clusters}"
                    if lcn < clusters:
                        runs.append((vcn, lcn, clusters - lcn))
                else:
                    runs.append((vcn, lcn, length))
            elif lcn == HOLE and middle + 1 == at:
                runs.append((vcn, HOLE, length))  # how NT before 3.5 wrote holes
            else:
                return runs, f"run {len(runs)} begins at cluster {lcn}"
        else:
            runs.append((vcn, HOLE, length))
        vcn += length
    return runs, fault or "the run list does not end inside its attribute"
