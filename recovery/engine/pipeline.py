"""The one pipeline: a reader thread, workers, and an ordered end in the caller's thread. Memory is bounded.

Big blocks through C libraries that release the interpreter lock are what makes it fast; so a unit of work should be
about a mebibyte. The queues are of the kind that is written in C: a pool of futures costs several times their locks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from recovery.engine.cancel import CancelToken

T = TypeVar("T")
R = TypeVar("R")
_WAKE = 0.5  # seconds


class _Done(NamedTuple, Generic[R]):
    """What became of item `number`. `last`: there is none of that number, the reader has ended."""

    number: int
    result: R | None
    error: BaseException | None = None
    last: bool = False


@dataclass(slots=True)
class _Course(Generic[T, R]):
    """What the threads share. `room` holds a token for each further item that may be under way."""

    cancel: CancelToken
    room: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)
    tasks: queue.SimpleQueue[tuple[int, T] | None] = field(default_factory=queue.SimpleQueue)
    done: queue.SimpleQueue[_Done[R]] = field(default_factory=queue.SimpleQueue)
    stopped: bool = False
    busy_since: float | None = None  # of the reader, with one item

    def read(self, produce: Iterator[T]) -> None:
        """The reader thread."""
        number = 0
        try:
            while True:
                self.room.get()
                self.cancel.hold(self._is_stopped)
                if self.stopped:
                    return
                self.busy_since = self.cancel.clock()
                try:
                    item = next(produce)
                except StopIteration:
                    break
                self.busy_since = None
                self.tasks.put((number, item))
                del item
                number += 1
            self.done.put(_Done(number, None, last=True))
        except BaseException as error:
            self.done.put(_Done(number, None, error, last=True))

    def _is_stopped(self) -> bool:
        return self.stopped

    def work(self, work: Callable[[T], R]) -> None:
        """A worker thread."""
        while True:
            task = self.tasks.get()
            self.cancel.hold(self._is_stopped)
            if task is None or self.stopped:
                return
            number, item = task
            try:
                self.done.put(_Done(number, work(item)))
            except BaseException as error:
                self.done.put(_Done(number, None, error))
            del task, item  # big


def run_pipeline(
    produce: Iterator[T],
    work: Callable[[T], R],
    consume: Callable[[R], None],
    *,
    workers: int,
    cancel: CancelToken,
    on_wait: Callable[[float], None] = lambda seconds: None,
) -> None:
    """consume(work(item)) for every item of `produce`, in its order.

    `produce` runs in a thread of its own, `work` in `workers` threads, `consume` here. `on_wait` gets the seconds
    that the producer has been busy with one item, so that a hanging disk can be named. The first error of any of
    them is raised here, after everything was stopped; Cancelled when the user asked to stop. While `cancel` is paused
    all of them stand still, each behind the item that it is at.
    """
    course: _Course[T, R] = _Course(cancel)
    for _ in range(3 * workers + 2):
        course.room.put(None)
    # A reader that hangs in the kernel must not keep the caller: it is a daemon and holds nothing that is written.
    reader = threading.Thread(target=course.read, args=(produce,), name="reader", daemon=True)
    pool = [threading.Thread(target=course.work, args=(work,), name=f"worker {n}") for n in range(workers)]
    for thread in (reader, *pool):
        thread.start()
    try:
        _collect(course, consume, cancel, on_wait)
    finally:
        course.stopped = True
        course.room.put(None)
        for _ in pool:
            course.tasks.put(None)
        for thread in pool:
            thread.join()
        reader.join(timeout=2 * _WAKE)


def _collect(
    course: _Course[T, R], consume: Callable[[R], None], cancel: CancelToken, on_wait: Callable[[float], None]
) -> None:
    waiting: dict[int, _Done[R]] = {}  # came before their turn
    turn = 0
    while True:
        cancel.check()
        try:
            done = course.done.get(timeout=_WAKE)
        except queue.Empty:
            since = course.busy_since
            on_wait(0.0 if since is None else cancel.clock() - since)
            continue
        waiting[done.number] = done
        while turn in waiting:
            done = waiting.pop(turn)
            if done.error is not None:
                raise done.error
            if done.last:
                return
            consume(done.result)  # type: ignore[arg-type]  # there is one when there is no error
            course.room.put(None)
            turn += 1
