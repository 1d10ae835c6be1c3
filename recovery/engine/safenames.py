"""Names of a stranger's volume made safe for a folder of ours: pure functions.

Windows: names that are devices there (CON, NUL, COM1 …), the characters that cannot stand in a name, and a dot or
space at the end ([MS-FSCC] 2.1.5.2, "Naming Files, Paths, and Namespaces").
"""

from __future__ import annotations

import hashlib
import re

MAX_NAME_BYTES = 255  # of a name on every Linux file system
_DEVICES = re.compile(r"(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(\.|$)")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f/]")
_WINDOWS = re.compile(r'[\\:*?"<>|]')
_SURROGATE = re.compile("[\ud800-\udfff]")


def safe_name(name: str, *, byte_names: bool, windows: bool = False) -> tuple[str, str]:
    """A name that can be made in a folder, and why it differs from `name` ('' when it does not).

    `byte_names`: the volume's names are bytes (ext), so surrogates stand for bytes that are no UTF-8 and are kept.
    `windows`: the folder is on a file system with the rules of Windows. Whatever comes out is one component, never
    empty, '.' or '..', and fits into 255 bytes.
    """
    reasons = []
    made = name
    if _CONTROL.search(made):
        made = _CONTROL.sub(_percent, made)
        reasons.append("control characters or '/' in the name")
    if windows:
        if _WINDOWS.search(made):
            made = _WINDOWS.sub(_percent, made)
            reasons.append("characters that Windows does not allow")
        if made.endswith((".", " ")) and made not in (".", ".."):
            made = made[:-1] + f"%{ord(made[-1]):02X}"
            reasons.append("a dot or space at the end")
        if _DEVICES.match(made):
            made = "_" + made
            reasons.append("a name reserved by Windows")
    if _SURROGATE.search(made) and (windows or not byte_names or not _is_bytes(made)):
        made = _SURROGATE.sub(lambda m: f"%u{ord(m[0]):04X}", made)
        reasons.append("no valid text")
    if made in ("", ".", ".."):
        made = "%00" if not made else made.replace(".", "%2E")
        reasons.append("a name that means another folder")
    if len(encode(made)) > MAX_NAME_BYTES:
        made = shortened(made)
        reasons.append(f"longer than {MAX_NAME_BYTES} bytes")
    return made, ", ".join(reasons)


def _percent(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"


def _is_bytes(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def encode(name: str) -> bytes:
    """The bytes of a safe name, as the system takes them."""
    return name.encode("utf-8", "surrogateescape")


def shortened(name: str, room: int = MAX_NAME_BYTES) -> str:
    """At most `room` bytes: the front, a mark made from the whole name, and a short extension."""
    mark = "~" + hashlib.sha256(encode(name)).hexdigest()[:8]
    stem, dot, extension = name.rpartition(".")
    tail = f".{extension}" if dot and stem and len(encode(extension)) <= 16 else ""
    front = encode(name)[: room - len(mark) - len(encode(tail))].decode("utf-8", "ignore")
    return front + mark + tail


def another_name(name: str, number: int) -> str:
    """A variant of a name that is taken: ``photo~2.jpg``."""
    stem, dot, extension = name.rpartition(".")
    made = f"{stem}~{number}.{extension}" if dot and stem else f"{name}~{number}"
    return made if len(encode(made)) <= MAX_NAME_BYTES else shortened(made)


def with_suffix(name: str, suffix: str) -> str:
    """`name` + `suffix`, shortened when it gets too long."""
    if len(encode(name + suffix)) <= MAX_NAME_BYTES:
        return name + suffix
    return shortened(name, MAX_NAME_BYTES - len(encode(suffix))) + suffix


def attribute_name(name: str) -> bytes | None:
    """The bytes of an extended attribute's name; None when Linux could not hold it (255 bytes, no NUL, text)."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    return raw if len(raw) <= MAX_NAME_BYTES and b"\0" not in raw else None


def stream_file_name(name: str, stream: str, *, windows: bool) -> str:
    """For a named stream that becomes a file beside its own: ``NAME:stream``, made safe."""
    made, _ = safe_name(f"{name}:{stream}", byte_names=False, windows=windows)
    return made
