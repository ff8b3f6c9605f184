from pathlib import Path

import pytest

from automl.training.clock import SlotClock, read_heartbeat


class FakeTime:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_seconds_go_to_the_kind_that_is_being_charged() -> None:
    time = FakeTime()
    clock = SlotClock(None, now=time)
    time.now += 3
    with clock.charging("validate"):
        time.now += 2
        with clock.charging("cache"):
            time.now += 5
    time.now += 1
    assert clock.device_seconds == 11
    assert clock.spent == {"train": 4.0, "validate": 2.0, "cache": 5.0}


def test_several_workers_cost_their_number_of_seconds() -> None:
    time = FakeTime()
    clock = SlotClock(None, slots=4, now=time)
    time.now += 2
    assert clock.device_seconds == 8
    assert clock.wall_seconds == 2


def test_waiting_for_the_driver_is_not_charged() -> None:
    time = FakeTime()
    clock = SlotClock(None, now=time)
    clock.tick()
    time.now += 50
    clock.resume()
    assert clock.device_seconds == 0


def test_what_a_lost_attempt_had_spent_is_carried_as_retry(tmp_path: Path) -> None:
    time = FakeTime()
    heartbeat = tmp_path / "trial.json"
    lost = SlotClock(heartbeat, now=time)
    time.now += 7
    lost.tick()
    again = SlotClock(heartbeat, now=time)
    time.now += 2
    assert again.device_seconds == 9
    assert again.spent["retry"] == 7
    again.beat()
    third = SlotClock(heartbeat, now=time)
    assert third.spent["retry"] == 9


def test_a_heartbeat_cut_off_counts_as_none(tmp_path: Path) -> None:
    broken = tmp_path / "trial.json"
    broken.write_text('{"train": 1')
    assert read_heartbeat(broken) == {}
    assert read_heartbeat(tmp_path / "missing.json") == {}


def test_time_is_charged_when_the_block_raises() -> None:
    time = FakeTime()
    clock = SlotClock(None, now=time)

    def break_while_caching() -> None:
        with clock.charging("cache"):
            time.now += 4
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_while_caching()
    time.now += 1
    assert clock.device_seconds == 5
    assert clock.spent == {"train": 1.0, "cache": 4.0}
