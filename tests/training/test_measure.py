"""Answers are timed warm, at one row and at 32, in whatever memory there is."""

from __future__ import annotations

import pyarrow as pa
import pytest

from automl.training.measure import BATCH, FEWEST, REPEATS, WARM_UP, time_answers

ROWS = pa.table({"row": list(range(7))})


class Machine:
    """A clock that an answer moves on: a first answer takes long, later ones `per_row` for each row."""

    def __init__(self, per_row: float, memory: int = BATCH) -> None:
        self.now, self.per_row, self.memory = 0.0, per_row, memory
        self.asked: list[list[int]] = []

    def answer(self, rows: pa.Table) -> None:
        if rows.num_rows > self.memory:
            raise MemoryError("no room for so many rows")
        cold = not any(len(one) == rows.num_rows for one in self.asked)
        self.asked.append(rows["row"].to_pylist())
        self.now += 100.0 if cold else self.per_row * rows.num_rows

    def clock(self) -> float:
        return self.now


def test_cold_answers_do_not_count_and_a_batch_is_timed_as_a_whole() -> None:
    machine = Machine(per_row=1e-4)
    found = time_answers(machine.answer, ROWS, machine.clock)
    assert (found["latency_ms_p50"], found["latency_ms_p95"]) == (0.1, 0.1)
    assert found["latency_ms_p50_batch_32"] == pytest.approx(3.2)
    assert found["rows_per_second"] == pytest.approx(10_000)


def test_rows_are_asked_for_in_turn_and_again_where_there_are_few() -> None:
    machine = Machine(per_row=1e-6)
    machine.asked += [[0], [0] * BATCH]  # warm already, so that the limit of time is not met
    time_answers(machine.answer, ROWS, machine.clock)
    assert [one for one in machine.asked[2:] if len(one) == 1] == [[k % 7] for k in range(WARM_UP[1] + REPEATS[1])]
    assert machine.asked[-1] == [(k + BATCH * (WARM_UP[BATCH] + REPEATS[BATCH] - 1)) % 7 for k in range(BATCH)]


def test_a_slow_model_answers_less_often() -> None:
    machine = Machine(per_row=60.0)
    time_answers(machine.answer, ROWS, machine.clock)
    assert sum(len(one) == BATCH for one in machine.asked) == WARM_UP[BATCH] + FEWEST


def test_without_the_memory_for_a_batch_its_numbers_are_left_out() -> None:
    machine = Machine(per_row=1e-4, memory=4)
    found = time_answers(machine.answer, ROWS, machine.clock)
    assert found["latency_ms_p50"] == 0.1
    assert not any("32" in name for name in found)
    assert "rows_per_second" not in found
