"""The one pipeline: a reader thread, workers, and an ordered end in the caller's thread. Memory is bounded.

Big blocks through C libraries that release the interpreter lock are what makes it fast; so a unit of work should be
about a mebibyte.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from recovery.engine.cancel import CancelToken

T = TypeVar("T")
R = TypeVar("R")
_WAKE = 0.5  # seconds


class _Failed(Generic[T]):
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    pass


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
    them is raised here, after everything was stopped; Cancelled when the user asked to stop.
    """
    source: queue.Queue[T | _Failed[T] | _End] = queue.Queue(maxsize=workers + 1)
    stop = threading.Event()
    since = [time.monotonic()]

    def put(item: T | _Failed[T] | _End) -> bool:
        while not stop.is_set():
            try:
                source.put(item, timeout=_WAKE)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for item in produce:
                if not put(item):
                    return
                since[0] = time.monotonic()
            put(_End())
        except BaseException as error:
            put(_Failed(error))

    reader = threading.Thread(target=read, name="reader", daemon=True)
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="worker")
    reader.start()
    try:
        while True:
            cancel.check()
            try:
                item = source.get(timeout=_WAKE if not pending else 0.02)
            except queue.Empty:
                on_wait(time.monotonic() - since[0])
                while pending and pending[0].done():
                    consume(pending.popleft().result())
                continue
            if isinstance(item, _End):
                break
            if isinstance(item, _Failed):
                while pending:  # what was read before the failure is kept
                    consume(pending.popleft().result())
                raise item.error
            pending.append(pool.submit(work, item))
            while len(pending) > 2 * workers or (pending and pending[0].done()):
                consume(pending.popleft().result())
        while pending:
            cancel.check()
            consume(pending.popleft().result())
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        # A reader that hangs in the kernel must not keep the caller: it is a daemon and holds nothing that is written.
        reader.join(timeout=2 * _WAKE)
