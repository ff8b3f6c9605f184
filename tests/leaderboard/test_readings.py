"""The search read after equal time and after equal trials, and what more of it would bring."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.leaderboard.board import make_board
from automl.leaderboard.readings import (
    budget_curve,
    curve_table,
    expected_best,
    reading_notes,
    reading_table,
    readings,
    trace,
)
from automl.metrics import get_metric
from automl.types import Cost, TrialResult
from tests.leaderboard.run_folder import Contest, Plan

ACCURACY, LOSS = get_metric("accuracy"), get_metric("log_loss")


@pytest.fixture
def some(tmp_path: Path) -> Any:
    """Makes trials of a contender from (device-seconds, validation) pairs; None for one that was stopped early."""
    like = Contest(path=tmp_path / "run", plans=[]).result("x", "trial", "x")

    def make(name: str, steps: Sequence[tuple[float, float | None]]) -> list[TrialResult]:
        return [
            TrialResult.from_json(
                like.to_json()
                | {
                    "id": f"{name}-{number}", "contender": name, "number": number, "validation": value or 0.99,
                    "status": "pruned" if value is None else "completed",
                    "cost": Cost(device_seconds=seconds).to_json(),
                }
            )
            for number, (seconds, value) in enumerate(steps)
        ]  # fmt: skip

    return make


def test_stopped_trials_cost_but_are_never_the_best(some: Any) -> None:
    steps = trace(some("a", [(10, None), (20, 0.7), (5, 0.6)]), "a", ACCURACY)
    assert [(one.trials, one.device_seconds, one.best) for one in steps] == [
        (1, 10, None),
        (2, 30, 0.7),
        (3, 35, 0.7),
    ]


def test_readings_that_turn_the_order_are_flagged(some: Any) -> None:
    quick = some("quick", [(10, 0.8), (10, 0.8), (10, 0.82)])
    slow = some("slow", [(25, 0.7), (25, 0.9), (25, 0.9)])
    found = readings([*quick, *slow], ["quick", "slow"], ACCURACY, 0.005)
    assert found is not None
    assert found["equal_time"] == {"device_seconds": 30, "best": {"quick": 0.82, "slow": 0.7}}
    assert found["equal_trials"] == {"trials": 3, "best": {"quick": 0.82, "slow": 0.9}}
    assert found["reversed"] == [["quick", "slow"]]
    assert not found["agree"]
    assert "quick was ahead of slow" in " ".join(reading_notes(found))
    assert reading_table(found, ACCURACY)[1] == [("quick", "82.0", "82.0"), ("slow", "70.0", "90.0")]


def test_within_the_margin_the_readings_agree(some: Any) -> None:
    trials = [*some("a", [(10, 0.800)]), *some("b", [(20, 0.802)])]
    found = readings(trials, ["a", "b"], ACCURACY, 0.005)
    assert found is not None
    assert found["agree"], "b has nothing whole after 10 device-seconds, but is not better after one trial either"
    assert readings(trials, ["a", "b"], ACCURACY, 0.001)["agree"] is False  # type: ignore[index]


def test_a_lead_that_changes_with_the_budget_is_told(some: Any) -> None:
    trials = [*some("a", [(10, 0.5), (10, 0.5), (10, 0.2)]), *some("b", [(10, 0.6), (10, 0.4), (10, 0.4)])]
    found = readings(trials, ["a", "b"], LOSS, 0.01)
    assert found is not None
    assert [(one["contender"], one["device_seconds"]) for one in found["leaders"]] == [
        ("a", 10),
        ("b", 20),
        ("a", 30),
    ]
    assert "depended on the budget" in " ".join(reading_notes(found))


def test_one_contender_has_nobody_to_be_ahead_of(some: Any) -> None:
    assert readings(some("a", [(10, 0.8)]), ["a", "b"], ACCURACY, 0.005) is None
    assert list(reading_notes(None)) == []


def test_where_nobody_ended_a_whole_trial_nobody_leads(some: Any) -> None:
    found = readings([*some("a", [(10, None)]), *some("b", [(10, None)])], ["a", "b"], ACCURACY, 0.005)
    assert found is not None
    assert (found["agree"], found["leaders"]) == (True, [])


@pytest.mark.parametrize("metric", [ACCURACY, LOSS])
def test_the_expected_best_is_the_mean_over_all_draws(metric: Any) -> None:
    values = [0.3, 0.9, 0.5, 0.5, 0.7]
    best = max if metric.higher_is_better else min
    for drawn, found in enumerate(expected_best(values, metric), start=1):
        assert found == pytest.approx(np.mean([best(some) for some in combinations(values, drawn)]))


def test_only_random_trials_that_all_ended_foretell_more_of_them(some: Any) -> None:
    trials = some("a", [(10, 0.95), (10, 0.6), (10, 0.7), (10, 0.8), (10, 0.9)])
    drawn = budget_curve(trials, "a", ACCURACY, "random", first_trials=1)
    assert drawn["kind"] == "expected_best"
    assert [point["validation"] for point in drawn["points"]][::3] == [pytest.approx(0.75), 0.9]
    assert "build on earlier" in budget_curve(trials, "a", ACCURACY, "tpe", 1)["reason"]
    assert "fewer than 4" in budget_curve(trials, "a", ACCURACY, "random", 2)["reason"]
    stopped = some("a", [(10, 0.95), (10, 0.6), (10, None), (10, 0.8), (10, 0.9)])
    went = budget_curve(stopped, "a", ACCURACY, "random", 1)
    assert (went["kind"], went["reason"]) == ("incumbent", "1 of 4 drawn trials were stopped early or failed")
    assert went["points"][-1] == {"trials": 5, "device_seconds": 50, "validation": 0.95}
    assert curve_table({"a": drawn, "b": went}, ACCURACY)[1] == [
        ("a", "expected", "90.0", "4", "6.7 points"),
        ("b", "as it went: 1 of 4 drawn trials were stopped early or failed", "95.0", "5", "0.0 points"),
    ]


def test_the_board_holds_both_readings_and_a_curve_for_every_contender(tmp_path: Path) -> None:
    plans = [Plan(name="a", accuracy=0.95, default_accuracy=0.96), Plan(name="b", accuracy=0.8)]
    protocol = make_board(Contest(path=tmp_path / "run", plans=plans).build(), "test").to_json()["protocol"]
    assert protocol["readings"]["equal_time"]["best"].keys() == {"a", "b"}
    assert {name: curve["kind"] for name, curve in protocol["budget_curves"].items()} == dict.fromkeys(
        "ab", "incumbent"
    )
    (note,) = [note for note in protocol["notes"] if note.startswith("a: tuning")]
    assert "its untuned default is" in note
    assert "learning_rate 0.0001" in note
