"""Everything that is done with a partition table, with the promises of its parts checked on the way."""

from __future__ import annotations

import json

from formats.base.errors import RecoveryError
from formats.base.source import BlockSource
from formats.table.detect import read_table
from formats.table.model import PartitionTable, Scheme
from formats.table.write import build_table, minimum_size
from tests.support.table_images import Sparse

COPY_FAULTS = {
    "gpt.primary_damaged", "gpt.backup_missing", "gpt.backup_damaged", "gpt.backup_not_at_end", "gpt.copies_differ",
}  # fmt: skip


def survive(source: BlockSource) -> PartitionTable | None:
    """Everything that is done with a table. None when it was refused; what comes out is checked."""
    try:
        table = read_table(source)
    except RecoveryError:
        return None
    size = source.size
    numbers = [p.number for p in table.partitions]
    assert numbers == sorted(set(numbers))
    for part in table.partitions:
        assert 0 <= part.extent.start < part.extent.end <= size
    for region in table.regions:
        assert region.extent.end <= size
        assert source.read_at(region.extent.start, region.extent.length) == region.data
    assert PartitionTable.from_json(json.loads(json.dumps(table.to_json()))) == table
    for target in (size, size * 2 + 512, size // 2):
        try:
            least = minimum_size(table)
            writes = build_table(table, target, table.sector_size)
        except RecoveryError:
            continue
        assert least <= target
        for write in writes:
            assert 0 <= write.offset <= write.offset + len(write.data) <= target
        if writes:
            assert writes[-1].offset == 0
        if table.scheme is Scheme.GPT and target > size:
            again = read_table(Sparse(target, {w.offset: w.data for w in writes}), table.sector_size)
            assert (again.scheme, again.disk_id) == (Scheme.GPT, table.disk_id)
            assert {p.code for p in again.problems}.isdisjoint(COPY_FAULTS)
            assert [p.unique_id for p in again.partitions][: len(table.partitions)] == [
                p.unique_id for p in table.partitions
            ]
    return table
