"""The parsers that can show files: one line per file system; and the door to all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from formats.base.errors import Unsupported
from formats.base.source import BlockSource
from fs.exfat import tree as exfat
from fs.ext import tree as ext
from fs.fat import tree as fat
from fs.ntfs import tree as ntfs
from fs.registry import Content, Handling, identify_volume
from fs.tree import FileTree

_DAMAGE = (".damaged", ".unreadable", ".unsupported")


class TreeParser(NamedTuple):
    """`kinds`: what Identity.kind says. `open_tree` raises NotThisFormat, Corrupt, Unsupported or DeviceError."""

    kinds: tuple[str, ...]
    open_tree: Callable[[BlockSource], FileTree]


TREES: tuple[TreeParser, ...] = (
    TreeParser(("ntfs",), ntfs.open_tree),
    TreeParser(("ext2", "ext3", "ext4"), ext.open_tree),
    TreeParser(("exfat",), exfat.open_tree),
    TreeParser(("fat12", "fat16", "fat32", "fat", "vfat"), fat.open_tree),
)


def open_tree(source: BlockSource, trees: Sequence[TreeParser] = TREES) -> FileTree:
    """The files of whatever volume `source` is, if its content is recognised without doubt.

    Raises Unsupported, with the reason as advice, for what has no files or none that we can show (encrypted, part of
    an array, two file systems in one place, unknown); Corrupt and DeviceError for a damaged volume of a known kind.
    """
    content = identify_volume(source)
    kind = content.identity.kind
    parser = next((t for t in trees if kind in t.kinds), None)
    if parser is not None and (content.handling is Handling.MAPPED or _complained(content, kind)):
        return parser.open_tree(source)
    advice = content.why_raw or f"Jurymast does not show files of {kind}."
    raise Unsupported(f"{kind or 'unknown'} volume {source.name}", "showing its files", advice)


def _complained(content: Content, kind: str) -> bool:
    """The parser of the volume found damage: what it says is better than a sentence about it."""
    return any(p.code in [kind + end for end in _DAMAGE] for p in content.problems)
