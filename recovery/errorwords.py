"""The words for errors that every face uses. A module of its own, because the quick commands load it too."""

from __future__ import annotations

from formats.base.errors import Cancelled, RecoveryError, Refused


def error_word(error: RecoveryError) -> str:
    """The one word that says what kind of end this was."""
    if isinstance(error, Refused):
        return "Refused"
    return "Stopped" if isinstance(error, Cancelled) else "Failed"


def internal_fault(error: Exception) -> RecoveryError:
    """What people are told when Jurymast itself is wrong."""
    fault = RecoveryError(f"Internal error: {type(error).__name__}: {error}")
    fault.advice = "This is a fault of Jurymast. Please report it with the log."
    return fault
