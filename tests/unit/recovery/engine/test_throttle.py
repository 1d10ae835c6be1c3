"""The limit on bytes a second, with a clock of its own and with a real one."""

from __future__ import annotations

import time

from recovery.engine.throttle import Throttle


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def test_reads_take_as_long_as_the_rate_says() -> None:
    clock = Clock()
    throttle = Throttle(1000, clock=clock, sleep=clock.sleep)
    for _ in range(50):
        throttle.take(100)
    assert 4.89 < clock.now - 100 < 4.91  # the first is free, the rest waits for those before


def test_a_pause_saves_up_a_quarter_of_a_second_only() -> None:
    clock = Clock()
    throttle = Throttle(1000, clock=clock, sleep=clock.sleep)
    clock.now += 3600
    for _ in range(20):
        throttle.take(100)
    assert 1.6 < clock.now - 3700 < 1.7


def test_a_read_larger_than_a_second_goes_and_the_next_waits() -> None:
    clock = Clock()
    throttle = Throttle(1000, clock=clock, sleep=clock.sleep)
    throttle.take(5000)
    assert clock.now == 100
    throttle.take(1)
    assert 104.99 < clock.now < 105.01


def test_no_limit_and_a_wish_to_stop_do_not_wait() -> None:
    began = time.monotonic()
    free, stopped = Throttle(0), Throttle(1, lambda: True)
    for _ in range(1000):
        free.take(1 << 30)
        stopped.take(1 << 30)
    assert time.monotonic() - began < 1
