"""Questions to disks that may never answer: each in a thread of its own, and nobody waits longer than he wants to.

A thread that hangs in a dead disk cannot be ended; it is a daemon, and what it says later goes nowhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from formats.base.errors import RecoveryError

K = TypeVar("K")
T = TypeVar("T")


class NoAnswer(RecoveryError):
    """It did not answer within its time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"It does not answer (waited for {seconds:g} s).")


def ask_all(questions: Mapping[K, Callable[[], T]], seconds: float) -> dict[K, T | RecoveryError]:
    """All at the same time; after `seconds` those that are not done have NoAnswer. In the order of `questions`.

    A RecoveryError of a question is its answer; any other exception ends this call with it.
    """
    answers: dict[K, T | Exception] = {}

    def ask(key: K, question: Callable[[], T]) -> None:
        try:
            answers[key] = question()
        except Exception as error:
            answers[key] = error

    threads = []
    for key, question in questions.items():
        thread = threading.Thread(target=ask, args=(key, question), name="question", daemon=True)
        thread.start()
        threads.append(thread)
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    found: dict[K, T | RecoveryError] = {}
    for key in questions:
        answer = answers.get(key, NoAnswer(seconds))
        if isinstance(answer, Exception) and not isinstance(answer, RecoveryError):
            raise answer
        found[key] = answer
    return found
