"""Cost against score: the front is what nobody beats for less, and its picture names every row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from automl.leaderboard.board import make_board
from automl.leaderboard.fronts import pareto
from automl.leaderboard.scored_charts import answer_cost_chart, search_cost_chart
from automl.metrics import get_metric
from automl.types import LeaderboardRow
from tests.leaderboard.run_folder import Contest, Plan

ACCURACY = get_metric("accuracy")


@pytest.fixture
def rows(tmp_path: Path) -> tuple[LeaderboardRow, ...]:
    plans = [Plan(name="a", accuracy=0.95), Plan(name="b", accuracy=0.93)]
    return make_board(Contest(path=tmp_path / "run", plans=plans, classes="abcdef").build(), "test").rows


def test_the_front_holds_rows_that_none_beats_for_less(rows: tuple[LeaderboardRow, ...]) -> None:
    costs = [10.0, 20.0, 5.0, 5.0]
    means = [0.9, 0.8, 0.7, 0.6]
    made = [replace(rows[0], device_seconds=c, test_mean=m) for c, m in zip(costs, means, strict=True)]
    assert pareto(made, lambda row: row.device_seconds, ACCURACY) == [2, 0]
    losses = get_metric("log_loss")
    assert pareto(made, lambda row: row.device_seconds, losses) == [3]


def test_a_mean_that_differs_in_its_last_bit_is_not_worth_more(rows: tuple[LeaderboardRow, ...]) -> None:
    made = [replace(rows[0], device_seconds=c, test_mean=m) for c, m in ((5.0, 0.3), (9.0, 0.1 + 0.2))]
    assert 0.1 + 0.2 > 0.3, "by the last bit"
    assert pareto(made, lambda row: row.device_seconds, ACCURACY) == [0]


def test_every_row_is_in_the_note_and_the_table(rows: tuple[LeaderboardRow, ...]) -> None:
    chart = search_cost_chart(rows, ACCURACY)
    assert chart is not None
    for place, row in enumerate(rows, start=1):
        assert f"{place} {row.contender}" in chart.note
        assert chart.rows[place - 1][0] == f"{place}. {row.contender}"
    assert chart.figure["layout"]["xaxis"]["type"] == "log"


def test_rows_without_a_latency_are_left_out_and_one_row_is_no_picture(rows: tuple[LeaderboardRow, ...]) -> None:
    measured = [row for row in rows if row.latency_ms_p50]
    chart = answer_cost_chart(rows, ACCURACY)
    assert chart is not None
    assert len(chart.rows) == len(measured) < len(rows)
    assert answer_cost_chart(rows[:1], ACCURACY) is None


def test_a_baseline_beyond_the_edge_is_told_in_words(rows: tuple[LeaderboardRow, ...]) -> None:
    chart = search_cost_chart(rows, ACCURACY)
    assert chart is not None
    number = next(place for place, row in enumerate(rows, start=1) if row.contender == "constant")
    low = chart.figure["layout"]["yaxis"]["range"][0]
    assert (rows[number - 1].test_low or 0) * 100 < low
    assert f"{number} (" in chart.note.partition("Beyond the picture's edge:")[2]


def test_a_row_beyond_the_edge_does_not_squeeze_the_others_costs(rows: tuple[LeaderboardRow, ...]) -> None:
    made = [
        replace(row, device_seconds=0.001 if row.contender == "constant" else 100.0 + k) for k, row in enumerate(rows)
    ]
    chart = search_cost_chart(made, ACCURACY)
    assert chart is not None
    assert chart.figure["layout"]["xaxis"]["range"][0] > 1.9, "a log of 0.001 would be -3"
