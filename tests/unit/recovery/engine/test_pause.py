"""Pausing: nothing is read or written meanwhile, nothing seems to stall, and it goes on or stops from there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from formats.base.errors import Cancelled
from recovery.engine.cancel import CancelToken
from recovery.engine.pipeline import run_pipeline


def later(seconds: float, what: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, what)
    timer.daemon = True
    timer.start()
    return timer


def test_a_pause_holds_check_and_leaves_its_time_out_of_the_clock() -> None:
    token, told = CancelToken(), []
    token.on_hold = told.append
    before, real = token.clock(), time.monotonic()
    token.pause()
    token.pause()  # twice is once
    later(0.3, token.resume)
    token.check()
    assert time.monotonic() - real >= 0.3 and token.clock() - before < 0.15
    assert 0.25 < token.left_out < time.monotonic() - real and told == [True, False]
    token.resume()
    token.check()
    assert told == [True, False]


def test_stopping_wakes_what_is_paused() -> None:
    token = CancelToken()
    token.pause()
    later(0.1, token.cancel)
    with pytest.raises(Cancelled):
        token.check()
    token.hold()  # nothing holds what is to end


def test_a_stop_of_the_whole_process_counts_once() -> None:
    token = CancelToken()
    now = token.clock()
    token.stood_still(100)
    assert token.left_out == 100 and now - 101 < token.clock() < now - 99
    token.pause()
    token.stood_still(50)  # the pause has counted it
    assert 100 <= token.left_out < 101


def test_the_pipeline_stands_still_in_all_its_threads_and_stalls_are_not_counted() -> None:
    token, stalls = CancelToken(), [0.0]
    read, worked, consumed = [0], [0], [0]

    def produce() -> Iterator[int]:
        for n in range(400):
            read[0] += 1
            yield n

    def work(n: int) -> int:
        time.sleep(0.002)
        worked[0] += 1
        return n

    def consume(n: int) -> None:
        consumed[0] += 1
        if n == 40:
            token.pause()

    seen: list[tuple[int, int, int]] = []

    def watch() -> None:
        while not token.paused:
            time.sleep(0.01)
        time.sleep(0.2)
        for _ in range(2):
            seen.append((read[0], worked[0], consumed[0]))
            time.sleep(0.7)  # longer than the collector waits for anything
        token.resume()

    watcher = threading.Thread(target=watch)
    watcher.start()
    run_pipeline(produce(), work, consume, workers=2, cancel=token, on_wait=stalls.append)
    watcher.join()
    assert seen[0] == seen[1] and seen[0][0] - seen[0][2] <= 3 * 2 + 2
    assert consumed[0] == 400 and max(stalls) < 0.5


def test_an_error_is_not_held_by_a_pause() -> None:
    token = CancelToken()

    def consume(n: int) -> None:
        if n == 5:
            token.pause()
            raise ValueError("the medium is full")

    began = time.monotonic()
    with pytest.raises(ValueError, match="full"):
        run_pipeline(iter(range(100)), lambda n: n, consume, workers=2, cancel=token)
    assert time.monotonic() - began < 2
