import os
from pathlib import Path

import pytest

from services.inference.pulse import STUCK_S, Pulse


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alive"


def touched(pulse: Pulse, file: Path) -> bool:
    file.touch()
    os.utime(file, (0, 0))
    pulse.look()
    return file.stat().st_mtime > 0


def test_a_service_without_work_is_alive_for_ever(clock: Clock, file: Path) -> None:
    pulse = Pulse(file, clock)
    clock.now += 10 * STUCK_S
    assert touched(pulse, file)


def test_requests_that_finish_one_after_another_keep_it_alive(clock: Clock, file: Path) -> None:
    pulse = Pulse(file, clock)
    with pulse.working():
        for _ in range(10):
            clock.now += STUCK_S - 1
            with pulse.working():
                assert touched(pulse, file)


def test_a_thread_that_never_finishes_lets_the_file_grow_old(clock: Clock, file: Path) -> None:
    pulse = Pulse(file, clock)
    clock.now += 10 * STUCK_S
    with pulse.working():
        assert touched(pulse, file)
        clock.now += STUCK_S
        assert not touched(pulse, file)
        assert not pulse.live
    assert touched(pulse, file)


def test_after_its_end_nothing_makes_it_alive_again(clock: Clock, file: Path) -> None:
    pulse = Pulse(file, clock)
    pulse.end()
    with pulse.working():
        assert not pulse.live
    assert not touched(pulse, file)


def test_a_service_that_nobody_judges_by_a_file_looks_all_the_same(clock: Clock) -> None:
    Pulse(None, clock).look()
