"""All signatures in the order of asking: what contains or imitates others comes first."""

from __future__ import annotations

from fs.recognise import arrays, linux, optical, others, own, pools, zfs
from fs.recognise.model import Match, Signature, search
from fs.recognise.peek import Peek

SIGNATURES: tuple[Signature, ...] = (
    *pools.SIGNATURES[:1],  # BitLocker, whose To Go form looks like FAT
    *arrays.SIGNATURES,
    *pools.SIGNATURES[1:],
    *zfs.SIGNATURES,
    *own.SIGNATURES,
    *linux.SIGNATURES,
    *optical.SIGNATURES,
    *others.SIGNATURES,
)


def recognise(peek: Peek) -> list[Match]:
    """Every signature that is found with a credible header, in order; one match for each kind."""
    matches: dict[str, Match] = {}
    for signature in SIGNATURES:
        match = search(signature, peek)
        if match is not None:
            matches.setdefault(match.kind, match)
    return list(matches.values())
