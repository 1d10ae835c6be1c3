"""Work that may wait for a disk, in threads of its own, with the result as a message to a screen.

Not Textual's workers: those belong to a pool that a program waits for at its end, and a thread that hangs in a dead
disk never ends. These are daemons; the screen stays alive and can be left.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from textual.message import Message
from textual.message_pump import MessagePump

from formats.base.errors import RecoveryError
from recovery.errorwords import internal_fault

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Call(Message):
    """Carries a function to the thread of the screens, where it is called."""

    bubble = False

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        super().__init__()


class Hears:
    """Mixed into whatever `aside` answers to."""

    def on_call(self, message: Call) -> None:
        message.stop()
        message.work()


def aside(
    pump: MessagePump,
    work: Callable[[], T],
    done: Callable[[T], None],
    failed: Callable[[RecoveryError], None],
    *,
    name: str = "aside",
) -> None:
    """Run `work` in a thread; then `done` or `failed` in the thread of the screens, unless `pump` is gone by then."""

    def body() -> None:
        try:
            result = work()
        except RecoveryError as error:
            fault = error
            post(pump, Call(lambda: failed(fault)))
        except Exception as error:
            _log.exception("internal error")
            internal = internal_fault(error)
            post(pump, Call(lambda: failed(internal)))
        else:
            post(pump, Call(lambda: done(result)))

    # The context tells Textual which app a message belongs to.
    threading.Thread(target=copy_context().run, args=(body,), name=name, daemon=True).start()


def post(pump: MessagePump, message: Message) -> None:
    """From any thread; nothing happens when the screens are closed by now."""
    try:
        pump.post_message(message)
    except RuntimeError:  # the event loop has ended
        return
