"""The fast structs and the declared layouts must not drift apart."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import construct
import pytest

from fs.ntfs import attribute, index, inode, layout, record, reparse, security
from tests.support.ntfs_images import Editor


@pytest.mark.parametrize(
    ("declared", "size"),
    [
        (layout.BootSector, 512),
        (layout.MftRecord, 0x30),
        (layout.AttributeHead, 0x10),
        (layout.ResidentTail, 0x08),
        (layout.NonResidentTail, 0x30),
        (layout.AttributeListEntry, 0x1A),
        (layout.FileName, 0x42),
        (layout.IndexRoot, 0x10),
        (layout.IndexHeader, 0x10),
        (layout.IndexBlock, 0x28),
        (layout.IndexEntry, 0x10),
        (layout.RestartPageHeader, 0x1E),
        (layout.RestartArea, 0x10),
        (layout.StandardInformation, 0x24),
        (layout.SecurityDescriptorHeader, 0x14),
        (layout.ExtendedAttribute, 0x08),
        (layout.ReparsePoint, 0x08),
        (layout.LinkPaths, 0x08),
        (layout.WofFile, 0x10),
    ],
)
def test_sizes_are_those_of_the_specification(declared: construct.Struct, size: int) -> None:
    assert declared.sizeof() == size


CASES = [
    (
        layout.StandardInformation,
        inode.STANDARD,
        "creation_time last_data_change_time last_mft_change_time last_access_time file_attributes",
    ),
    (layout.SecurityDescriptorHeader, security.SDS_HEADER, "hash security_id offset length"),
    (layout.ExtendedAttribute, security.EA_HEADER, "next_entry_offset flags ea_name_length ea_value_length"),
    (layout.ReparsePoint, reparse.HEADER, "reparse_tag reparse_data_length reserved"),
    (
        layout.LinkPaths,
        reparse.PATHS,
        "substitute_name_offset substitute_name_length print_name_offset print_name_length",
    ),
    (layout.WofFile, reparse.WOF_INFO, "wof_version provider file_version algorithm"),
    (
        layout.MftRecord,
        record.RECORD,
        "magic usa_ofs usa_count lsn sequence_number link_count attrs_offset flags bytes_in_use bytes_allocated "
        "base_mft_record",
    ),
    (layout.MftRecord, record.SEQUENCE, "magic usa_ofs usa_count"),
    (layout.AttributeHead, attribute.HEAD, "type length"),
    (
        layout.AttributeHead,
        attribute.FULL_HEAD,
        "type length non_resident name_length name_offset flags instance",
    ),
    (layout.ResidentTail, attribute.RESIDENT, "value_length value_offset resident_flags reserved"),
    (
        layout.NonResidentTail,
        attribute.NON_RESIDENT,
        "lowest_vcn highest_vcn mapping_pairs_offset compression_unit allocated_size data_size initialized_size",
    ),
    (layout.NonResidentTail, attribute.SPAN, "lowest_vcn highest_vcn mapping_pairs_offset"),
    (
        layout.AttributeListEntry,
        attribute.LIST_ENTRY,
        "type length name_length name_offset lowest_vcn mft_reference instance",
    ),
    (
        layout.FileName,
        attribute.FILE_NAME_HEAD,
        "parent_directory file_attributes ea_or_reparse file_name_length file_name_type",
    ),
    (layout.IndexHeader, index.HEADER, "entries_offset index_length allocated_size ih_flags"),
    (layout.IndexEntry, index.ENTRY, "indexed_file length key_length ie_flags"),
]


@pytest.mark.parametrize(("declared", "fast", "fields"), CASES)
def test_fast_structs_read_the_declared_fields(declared: construct.Struct, fast: struct.Struct, fields: str) -> None:
    data = bytes((i * 37 + 11) & 0xFF for i in range(declared.sizeof()))
    parsed = declared.parse(data)
    assert fast.unpack_from(data) == tuple(parsed[name] for name in fields.split())


def test_they_agree_on_a_record_of_mkntfs(image: Callable[[str], Path]) -> None:
    with Editor(image("cluster-4096")) as editor:
        data = bytes(editor.read(5))
    parsed = layout.MftRecord.parse(data)
    assert (parsed.magic, parsed.mft_record_number, parsed.flags) == (b"FILE", 5, 3)
    assert record.RECORD.unpack_from(data)[4:7] == (
        parsed.sequence_number,
        parsed.link_count,
        parsed.attrs_offset,
    )
