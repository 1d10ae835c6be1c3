"""Files compressed as Windows does it beside NTFS (WOF): wimlib makes the chunks, ntfs-3g puts them in place.

A compressed resource of a WIM archive has the same form as the stream WofCompressedData: the offsets of all chunks
but the first, then the chunks.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import struct
from pathlib import Path

from tests.support.ntfs_images import make, mount
from tests.support.tools import need, run

METHODS = {"XPRESS4K": (0, "XPRESS", 4096), "LZX": (1, "LZX", 32768), "XPRESS8K": (2, "XPRESS", 8192),
           "XPRESS16K": (3, "XPRESS", 16384)}  # fmt: skip
SPARSE = 0x200


def contents() -> dict[str, bytes]:
    """Data of the kinds that matter to the coders: text, calls of x86, noise that is stored, long runs, short ends."""
    rng = random.Random(9)
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(800)]
    text = b" ".join(rng.choice(words) for _ in range(40000))
    calls = b"".join(
        b"\xe8" + rng.randint(-40000, 13000000).to_bytes(4, "little", signed=True) + b"abc" for _ in range(12000)
    )
    mixed = b"".join(rng.randbytes(5000) + b"A" * 9000 + text[i : i + 3000] for i in range(0, 60000, 3000))
    noise = b"".join(bytes(rng.choices(range(16 * i, 16 * i + 60), k=32768)) for i in range(8))
    return {
        "text": text,
        "calls": calls,
        "mixed": mixed,
        "noise": noise,
        "short": b"hello " * 20,
        "run": b"\0" * 200001,
        "just-over": text[:32769],
        "program": Path("/bin/bash").read_bytes()[:400001],
    }


def resources(data: dict[str, bytes], method: str, scratch: Path) -> dict[str, bytes]:
    """Each of `data` compressed, as a WIM archive keeps it; those that did not become shorter are missing."""
    need("wimlib-imagex")
    _, compression, chunk = METHODS[method]
    folder = scratch / f"src-{method}"
    folder.mkdir()
    for name, content in data.items():
        (folder / name).write_bytes(content)
    archive = scratch / f"{method}.wim"
    run("wimlib-imagex", "capture", folder, archive, f"--compress={compression}", f"--chunk-size={chunk}", "--no-acls")
    packed = archive.read_bytes()
    digests = {hashlib.sha1(content).hexdigest(): name for name, content in data.items()}
    found = {}
    for block in run("wimlib-imagex", "info", archive, "--blobs").split("\n\n"):
        fields = dict(re.findall(r"^(\S.*?)\s+= (\S+)", block, re.MULTILINE))
        name = digests.get(fields.get("Hash", "")[2:])
        if name and fields["Compressed size"] != fields["Uncompressed size"]:
            begin = int(fields["Offset in WIM"])
            found[name] = packed[begin : begin + int(fields["Compressed size"])]
    return found


def wof_reparse(algorithm: int, provider: int = 2) -> bytes:
    """The value of the reparse point of a file that WOF compressed."""
    return struct.pack("<IHHIIII", 0x80000017, 16, 0, 1, provider, 1, algorithm)


def wof(path: Path) -> None:
    """contents() by each method, in a directory for each."""
    make(path, size=24 << 20, label="wof")
    data = contents()
    with mount(path) as root:
        for method, (algorithm, _, _) in METHODS.items():
            (root / method).mkdir()
            for name, packed in resources(data, method, path.parent).items():
                file = root / method / name
                with file.open("wb") as main:
                    main.truncate(len(data[name]))
                Path(f"{file}:WofCompressedData").write_bytes(packed)
                os.setxattr(file, "system.ntfs_reparse_data", wof_reparse(algorithm))
