"""The parsers that know which bytes of a volume are in use: one line per file system."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from formats.base.source import BlockSource
from fs.api import FileSystem
from fs.exfat import volume as exfat
from fs.ext import volume as ext
from fs.fat import volume as fat
from fs.ntfs import volume as ntfs
from fs.swap import volume as swap


class Parser(NamedTuple):
    """`name`: as Signature.parser has it; `open_volume` raises NotThisFormat, Corrupt or Unsupported."""

    name: str
    open_volume: Callable[[BlockSource], FileSystem]


PARSERS: tuple[Parser, ...] = (
    Parser("ntfs", ntfs.open_volume),
    Parser("exfat", exfat.open_volume),
    Parser("fat", fat.open_volume),
    Parser("ext", ext.open_volume),
    Parser("swap", swap.open_volume),
)
