"""The pipeline: order, bounds, the first error, and stopping while the reader hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from formats.base.errors import Cancelled, DeviceError
from recovery.engine.cancel import CancelToken
from recovery.engine.pipeline import run_pipeline


def test_results_come_in_the_order_of_the_source() -> None:
    done: list[int] = []

    def work(n: int) -> int:
        time.sleep(0.002 if n % 3 == 0 else 0)
        return n * n

    run_pipeline(iter(range(200)), work, done.append, workers=4, cancel=CancelToken())
    assert done == [n * n for n in range(200)]


def test_what_is_in_flight_is_bounded() -> None:
    produced, consumed, most = 0, 0, 0

    def source() -> Iterator[int]:
        nonlocal produced
        for n in range(300):
            produced += 1
            yield n

    def consume(_: int) -> None:
        nonlocal consumed, most
        most = max(most, produced - consumed)
        consumed += 1
        time.sleep(0.001)

    run_pipeline(source(), lambda n: n, consume, workers=2, cancel=CancelToken())
    assert consumed == 300
    assert most <= 12


def test_what_was_read_before_a_failure_is_kept() -> None:
    done: list[int] = []

    def source() -> Iterator[int]:
        yield from range(10)
        raise DeviceError("disk", "read", 10, 1, 5)

    with pytest.raises(DeviceError):
        run_pipeline(source(), lambda n: n, done.append, workers=2, cancel=CancelToken())
    assert done == list(range(10))


@pytest.mark.parametrize("where", ["work", "consume"])
def test_errors_of_later_stages_end_it(where: str) -> None:
    def fail(_: int) -> int:
        raise DeviceError("target", "write", 0, 1, 28)

    def fine(n: int) -> int:
        return n

    before = threading.active_count()
    with pytest.raises(DeviceError):
        run_pipeline(
            iter(range(1000)),
            fail if where == "work" else fine,
            fail if where == "consume" else fine,
            workers=2,
            cancel=CancelToken(),
        )
    assert threading.active_count() <= before + 1


def test_a_hanging_reader_is_named_and_can_be_left() -> None:
    release = threading.Event()
    token = CancelToken()
    waits: list[float] = []

    def source() -> Iterator[int]:
        yield 1
        release.wait(20)
        yield 2

    def waiting(seconds: float) -> None:
        waits.append(seconds)
        if seconds > 0.8:
            token.cancel()

    started = time.monotonic()
    with pytest.raises(Cancelled):
        run_pipeline(source(), lambda n: n, lambda n: None, workers=2, cancel=token, on_wait=waiting)
    assert time.monotonic() - started < 10
    assert waits and waits[-1] > 0.8
    release.set()
