"""What others held while something was timed, told from two readings; this process's own work is no load."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from automl.training.load import Reading, load_between, load_since, read_now


def load(
    wall: float, busy: float | None, own: float, cores: int = 2, average: float | None = 1.0
) -> dict[str, object]:
    return load_between(
        Reading(wall=5.0, busy=None if busy is None else 40.0, own=1.0),
        Reading(wall=5.0 + wall, busy=None if busy is None else 40.0 + busy, own=1.0 + own),
        threads=2,
        cores=cores,
        load_average=average,
    )


def test_what_this_process_holds_is_no_load() -> None:
    assert load(wall=2.0, busy=4.0, own=4.0) == {"busy": False, "cores": 2, "others_cores": 0.0, "load_average": 1.0}


def test_others_on_cores_that_are_needed_are() -> None:
    found = load(wall=2.0, busy=4.0, own=2.0, average=6.2)
    assert found == {"busy": True, "cores": 2, "others_cores": 1.0, "load_average": 6.2}


def test_others_on_cores_that_are_free_are_not() -> None:
    assert load(wall=2.0, busy=12.0, own=2.0, cores=8)["busy"] is False
    assert load(wall=2.0, busy=15.0, own=2.0, cores=8)["busy"] is True


def test_a_tick_of_the_clock_proves_nothing_in_a_short_time() -> None:
    assert load(wall=0.04, busy=0.03, own=0.01)["busy"] is False


@pytest.mark.parametrize(("average", "busy"), [(2.9, False), (3.1, True), (None, False)])
def test_where_the_system_does_not_say_who_held_cores_its_average_decides(average: float | None, busy: bool) -> None:
    assert load(wall=2.0, busy=None, own=2.0, average=average)["busy"] is busy
    assert load(wall=2.0, busy=0.0, own=2.0, average=average)["busy"] is busy, "a sandbox counts nothing at all"


def test_the_fields_of_proc_stat_are_added_up_without_idle_and_waiting(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 9000 400 5 6 39 50 50\ncpu0 1 1 1 1\n")
    assert read_now(stat).busy == pytest.approx(2.0)
    assert read_now(tmp_path / "nothing").busy is None


def test_a_real_reading_holds_the_machine_against_itself() -> None:
    before = read_now()
    ends = time.process_time() + 0.1
    while time.process_time() < ends:
        pass
    found = load_since(before, threads=1)
    assert found["cores"] >= 1
    assert (found["others_cores"] or 0.0) <= found["cores"] + 1
