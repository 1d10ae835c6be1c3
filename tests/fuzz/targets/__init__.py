"""All targets. A new parser: a module with its targets, and a line here."""

from __future__ import annotations

from tests.fuzz.target import Registry
from tests.fuzz.targets import archive, exfat, ext, fat, machine, ntfs, recognise, swap, table

REGISTRY = Registry()
for _module in (ntfs, ext, fat, exfat, swap, recognise, table, archive, machine):
    REGISTRY.add(*_module.TARGETS)
TARGETS = REGISTRY.targets
