"""What `blkid -p` says: the oracle for kind, label and UUID."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.tools import need


@dataclass(frozen=True)
class Said:
    """`kind`: blkid's TYPE, '' for none; `ambivalent`: the formats that contradict each other, '' when clear."""

    kind: str
    label: str
    uuid: str
    ambivalent: str = ""


def ask(image: Path) -> Said:
    """Let blkid of this machine look at `image`."""
    need("blkid")
    done = subprocess.run(["blkid", "-p", "-o", "udev", image], capture_output=True, check=False, timeout=60)
    return parse(done.stdout.decode("utf-8", "replace"))


def parse(text: str) -> Said:
    """The answer in blkid's udev format."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def value(name: str) -> str:
        encoded = values.get(f"ID_FS_{name}_ENC")
        return _decode(encoded) if encoded is not None else values.get(f"ID_FS_{name}", "")

    return Said(value("TYPE"), value("LABEL"), value("UUID"), values.get("ID_FS_AMBIVALENT", ""))


def _decode(text: str) -> str:
    r"""blkid writes what is not safe in a shell as \xNN, one for each byte."""
    raw = re.sub(
        rb"\\x([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "surrogateescape")
    )
    return raw.decode("utf-8", "replace")
