"""Telling what is known of each volume of an archive while it is read back: the same for a check and after a backup."""

from __future__ import annotations

from formats.archive.model import Manifest
from formats.base.units import in_words
from recovery.engine.events import EventSink, Stage, VolumeJudged

_HIT = 20  # names in an event; the report has more


class Judge:
    """Volumes are numbered as in the archive, from 0."""

    def __init__(self, sink: EventSink, manifest: Manifest) -> None:
        self._sink, self._manifest = sink, manifest
        self._many = len({volume.disk for volume in manifest.volumes}) > 1

    def tell(self, number: int, stage: Stage, verdict: str, text: str, hit: tuple[str, ...] = ()) -> None:
        """`verdict`: '' while the stage is going on."""
        volume = self._manifest.volumes[number]
        title = str(volume.details.get("title", f"volume {number}"))
        disk = volume.disk + 1 if self._many else 0
        self._sink(VolumeJudged(number, disk, title, stage, str(verdict), text, hit[:_HIT]))

    def stored(self, number: int, held: int, lost: int) -> None:
        """All of its blocks were read: `lost` of `held` bytes are damaged or missing."""
        if lost:
            self.tell(number, Stage.STORED, "LOST", f"{in_words(lost)} of {in_words(held)} are damaged in the archive")
        else:
            self.tell(number, Stage.STORED, "OK", f"all stored blocks read ({in_words(held)})")
