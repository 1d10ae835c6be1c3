"""The error tree: four families that a user must be able to tell apart.

* the medium failed           -> DeviceError
* the bytes are wrong         -> FormatError (NotThisFormat, Corrupt, Truncated, ChecksumMismatch, Inconsistent)
* valid, but we cannot        -> Unsupported
* refused for safety          -> Refused

PathNotFound is none of these: the volume is sound, and has no such file.

Offsets are absolute, in bytes, from the start of the source that the error names.
"""

from __future__ import annotations

import os


class RecoveryError(Exception):
    """Root of every error that Jurymast raises on purpose. `advice` says what the user can do."""

    advice: str = ""


class DeviceError(RecoveryError):
    """The medium failed: a read, write or control request did not complete.

    `offset` and `length` are bytes on `device`; `errno` is the system's number, 0 when there is none.
    """

    def __init__(self, device: str, action: str, offset: int, length: int, errno: int, advice: str = "") -> None:
        self.device, self.action = device, action
        self.offset, self.length, self.errno = offset, length, errno
        self.advice = advice
        reason = os.strerror(errno) if errno else "no reason given"
        super().__init__(f"{device}: {action} of {length} bytes at offset {offset} failed: {reason}")


class FormatError(RecoveryError):
    """The bytes are wrong: `structure` (with its index) at `offset` bytes of `source` is not as it must be."""

    def __init__(
        self,
        structure: str,
        offset: int,
        detail: str,
        *,
        expected: object = None,
        found: object = None,
        source: str = "",
        advice: str = "",
    ) -> None:
        self.structure, self.offset, self.detail = structure, offset, detail
        self.expected, self.found, self.source = expected, found, source
        self.advice = advice
        text = f"{source + ': ' if source else ''}{structure} at offset {offset:#x}: {detail}"
        if expected is not None or found is not None:
            text += f" (expected {expected}, found {found})"
        super().__init__(text)


class NotThisFormat(FormatError):
    """The magic is absent. Raised by probes only."""


class Corrupt(FormatError):
    """The structure is recognised and damaged."""


class ChecksumMismatch(Corrupt):
    """A stored checksum or digest does not match the bytes."""


class Truncated(Corrupt):
    """The source ends before the structure does."""


class Inconsistent(Corrupt):
    """Two structures contradict each other, or a pointer leads outside."""


class Unsupported(RecoveryError):
    """Valid, but we cannot: `feature` names the bit, version or option."""

    def __init__(self, structure: str, feature: str, advice: str = "") -> None:
        self.structure, self.feature, self.advice = structure, feature, advice
        super().__init__(f"{structure}: {feature} is not supported")


class Refused(RecoveryError):
    """Refused for safety. `reason` is a full sentence, `advice` what would make it possible."""

    def __init__(self, reason: str, advice: str = "") -> None:
        self.reason, self.advice = reason, advice
        super().__init__(reason)


class PathNotFound(RecoveryError):
    """A volume has no file or directory at `path`; `reason` says at which part of it the search ended."""

    def __init__(self, path: str, reason: str, advice: str = "") -> None:
        self.path, self.reason, self.advice = path, reason, advice
        super().__init__(f"{path}: {reason}")


class Cancelled(RecoveryError):
    """The user asked to stop; everything was left as the message says."""
