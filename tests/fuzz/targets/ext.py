"""ext2, ext3, ext4: superblock, inodes, maps, directories, attributes, the journal, single files, whole volumes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from formats.base.checksum import crc32c_raw
from formats.base.errors import RecoveryError
from fs.ext.blocks import BlockReader, Budget
from fs.ext.directory import check_checksum, entries
from fs.ext.filemap import file_runs, raw_inode
from fs.ext.htree import name_hash
from fs.ext.inode import Context, Inode, checksum_complaint, decode_inode
from fs.ext.node import make_node
from fs.ext.superblock import METADATA_CSUM, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock, parse
from fs.ext.tree import open_tree
from fs.ext.volume import open_volume
from fs.ext.xattr import inode_attributes, linux_acl
from fs.tree import NodeKind
from tests.fuzz import images as tiny
from tests.fuzz import mutator
from tests.fuzz.mutator import Data
from tests.fuzz.questions import File, ask_all, nodes_of, volume_seed
from tests.fuzz.target import Images, Patched, Raw, Recorder, Seed, Structure, Target, Volume, only_ours
from tests.support.ext_trees import ACCESS

CHECKSUM = 0x3FC  # of a superblock
OPTIONS: dict[str, tuple[str, ...]] = {
    "ext2": ("-I", "128"),
    "ext3": ("-J", "size=1", "-I", "256"),
    "ext4": ("-O", "^has_journal,64bit,metadata_csum,inline_data", "-I", "256"),
    "ext4-plain": ("-O", "^has_journal,^metadata_csum,bigalloc,inline_data", "-I", "256"),
    "ext4-groups": ("-O", "^has_journal,^metadata_csum,meta_bg,^resize_inode", "-g", "512", "-I", "256"),
}


def image(images: Images, name: str) -> Data:
    kind = name.split("-")[0]
    make = partial(tiny.ext, size=3 * tiny.MiB) if kind == "ext3" else tiny.ext
    return images.get(name, lambda path: make(path, kind, *OPTIONS[name], journal=kind == "ext3"))


def superblock(data: Data) -> Superblock:
    return parse(data[SUPERBLOCK_OFFSET : SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE], SUPERBLOCK_OFFSET)


def superblock_seeds(images: Images) -> Sequence[Seed]:
    return [Seed(name, image(images, name)[SUPERBLOCK_OFFSET:][:SUPERBLOCK_SIZE]) for name in OPTIONS]


def summed(data: bytes) -> bytes:
    """A superblock with its checksum, if it says that it has one."""
    if len(data) < SUPERBLOCK_SIZE or not int.from_bytes(data[0x64:0x68], "little") & METADATA_CSUM:
        return data
    return data[:CHECKSUM] + crc32c_raw(data[:CHECKSUM]).to_bytes(4, "little") + data[CHECKSUM + 4 :]


def sum_superblock(good: Data, patches: dict[int, bytes]) -> None:
    data = mutator.absorbed(good, patches, SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE)
    if data is not None:
        patches[SUPERBLOCK_OFFSET] = summed(bytes(data))


def inode_seeds(images: Images) -> Sequence[Seed]:
    """Inodes, each with its superblock and the volume where its map leads."""
    found = []
    for name in OPTIONS:
        data = image(images, name)
        sb = superblock(data)
        volume = open_volume(Raw(data))
        view, _ = volume.view()
        numbers = {node.number for _, node in nodes_of(open_tree(Raw(data)))}
        for number in [2, 7, 8, *sorted(numbers)[::3]]:
            raw, _ = raw_inode(view.reader, sb, view.groups, number)
            found.append(Seed(f"{name} inode {number}", raw, extra=(sb, BlockReader(Raw(data), 1024), number)))
    return found


def check_inode(seed: Seed, damaged: bytes) -> None:
    sb, reader, number = seed.extra
    make_node(sb, number, damaged, 4096, "name", 2)
    checksum_complaint(sb, number, damaged)
    inode = decode_inode(sb, number, damaged, 4096)
    only_ours(lambda: list(inode_attributes(sb, inode, damaged)))
    ctx = Context(reader, sb, Budget(2000), only_text)
    only_ours(lambda: list(file_runs(ctx, inode)))


def only_text(error: RecoveryError) -> None:
    assert str(error)


def directory_seeds(images: Images) -> Sequence[Seed]:
    found = []
    for name in ("ext2", "ext4", "ext4-groups"):
        data = image(images, name)
        sb = superblock(data)
        tree = open_tree(Raw(data))
        for _, node in nodes_of(tree):
            if node.kind is NodeKind.DIRECTORY:
                inode: Inode = node.key.inode  # type: ignore[attr-defined]
                for run in tree.runs(node):
                    for at in range(run.physical or 0, (run.physical or 0) + run.length, 1024):
                        block = data[at : at + 1024]
                        found.append(Seed(f"{name} directory {node.number} block {at}", block, extra=(sb, inode)))
    return found


def check_directory(seed: Seed, damaged: bytes) -> None:
    sb, inode = seed.extra
    only_ours(lambda: check_checksum(sb, inode, damaged, 0))
    for entry in entries(sb, inode, damaged, 0):
        assert 0 < entry.inode <= sb.inodes_count and len(entry.name) <= 255


def check_hash(_: Seed, damaged: bytes) -> None:
    head = damaged[:1] or b"\0"
    major, minor = name_hash(damaged[1:256], head[0] % 4, (1, 2, 3, 4), bool(head[0] & 4))
    assert 0 <= major < 1 << 32 and 0 <= minor < 1 << 32


def acl_on_disk() -> bytes:
    """One of each kind of entry."""
    body = b"".join(
        ACCESS[at : at + (8 if ACCESS[at] in (2, 8) else 4)] for at in range(4, len(ACCESS), 8)
    )  # fmt: skip
    return b"\1\0\0\0" + body


def check_acl(seed: Seed, damaged: bytes) -> None:
    linux_acl(damaged, seed.extra, 0)


def acl_seeds(images: Images) -> Sequence[Seed]:
    inode = decode_inode(superblock(image(images, "ext2")), 12, bytes(128), 0)
    return [Seed("acl", acl_on_disk(), extra=inode)]


def journal_seeds(images: Images) -> Sequence[Seed]:
    """What is read to follow the log, without the rest."""
    data = image(images, "ext3")
    recorder = Recorder(data)
    volume = open_volume(recorder)
    before = set(recorder.reads)
    _, uncertain = volume.view()
    assert volume.superblock.needs_recovery and not uncertain
    recorder.reads -= before
    return [Seed("ext3", data, recorder.places())]


def check_journal(_: Seed, damaged: Patched) -> None:
    source = damaged.source()
    volume = open_volume(source)
    view, uncertain = volume.view()
    assert uncertain.isprintable()
    view.reader.read(400, 3)
    for start, end in volume.allocated():
        assert 0 <= start < end <= source.size


def volume_seeds(images: Images) -> Sequence[Seed]:
    return [volume_seed(name, image(images, name), open_volume, open_tree) for name in OPTIONS]


TARGETS: tuple[Target, ...] = (
    Structure("ext.superblock", superblock_seeds, lambda _, d: parse(d, SUPERBLOCK_OFFSET), summed, fixed=True, cost=3),
    Structure("ext.inode", inode_seeds, check_inode, fixed=True),
    Structure("ext.directory", directory_seeds, check_directory, fixed=True),
    Structure("ext.hash", lambda _: [Seed("name", bytes(range(200)))], check_hash, cost=2),
    Structure("ext.acl", acl_seeds, check_acl),
    Volume("ext.journal", journal_seeds, check_journal, cost=30),
    File("ext.file", lambda images: [(name, image(images, name)) for name in OPTIONS], open_tree),
    Volume("ext.volume", volume_seeds, ask_all(open_volume, open_tree), sum_superblock),
)
