"""Importance is told from whole trials only, and not at all where they cannot tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.leaderboard.importance import Scale, importance, scales
from automl.leaderboard.search_charts import importance_chart, recipes_chart
from automl.metrics import get_metric
from automl.types import TrialResult
from tests.leaderboard.run_folder import Contest

ACCURACY = get_metric("accuracy")
RATE = {"name": "learning_rate", "low": 1e-5, "high": 1e-2, "log": True}
DROPOUT = {"name": "dropout", "low": 0.0, "high": 0.5}
BATCH = {"name": "batch_size", "choices": [16, 32, 64]}
SPACE = {"parameters": [RATE, DROPOUT, BATCH]}


def searched(trials: int, *, noise: float = 0.0, matters: bool = True, seed: int = 0) -> list[TrialResult]:
    """Trials whose score depends on the learning rate alone, or on chance alone; every fifth was pruned."""
    random, found = np.random.default_rng(seed), []
    plain = Contest(path=Path("unused"), plans=[]).result("a-000", "trial", "a")
    for number in range(trials):
        rate = float(10 ** random.uniform(-5, -2))
        recipe = {"learning_rate": rate, "dropout": float(random.uniform(0, 0.5))}
        recipe["batch_size"] = int(random.choice([16, 32, 64]))
        value = 0.8 - (0.05 * (np.log10(rate) + 3) ** 2 if matters else 0) + random.normal() * noise
        status = "pruned" if number % 5 == 4 else "completed"
        one = replace(plain, id=f"a-{number:03d}", number=number, recipe=recipe, status=status, validation=value)
        found.append(one)
    return found


def test_the_hyperparameter_that_decides_stands_first_with_most_of_the_variance() -> None:
    found = importance("a", SPACE, searched(40, noise=0.005), ACCURACY)
    assert found.trials == 32
    assert found.shares[0][0] == "learning_rate"
    assert found.shares[0][1] > 0.7
    assert sum(share for _, share, _, _ in found.shares) + found.together == pytest.approx(1, abs=0.05)


def test_scores_that_are_chance_make_no_picture() -> None:
    found = [importance("a", SPACE, searched(40, noise=0.02, matters=False, seed=k), ACCURACY) for k in range(5)]
    told = [one.why_not for one in found if not one.shares]
    assert len(told) >= 4
    assert all("chance" in one for one in told)
    assert all(importance_chart(one, 0) is None for one in found if not one.shares)


@pytest.mark.parametrize(("trials", "whole"), [(0, "0 whole trials"), (1, "1 whole trial:"), (11, "9 whole trials")])
def test_few_whole_trials_are_too_few_to_tell(trials: int, whole: str) -> None:
    found = importance("a", SPACE, searched(trials), ACCURACY)
    assert not found.shares
    assert found.why_not.startswith(whole)
    assert "too few to tell" in found.why_not


def test_the_same_trials_tell_the_same_twice() -> None:
    trials = searched(20, noise=0.005)
    assert importance("a", SPACE, trials, ACCURACY) == importance("a", SPACE, trials, ACCURACY)


@pytest.mark.parametrize(
    ("parameter", "value", "place"),
    [
        (RATE, 1e-5, 0.0), (RATE, 1e-2, 1.0), (RATE, 10**-3.5, 0.5), (DROPOUT, 0.25, 0.5), (BATCH, 32, 0.5),
        (BATCH, 128, 1.0), (RATE | {"or_zero": True}, 0, 0.0), (RATE | {"or_zero": True}, 1e-5, 0.15),
        (DROPOUT, None, None), (DROPOUT, 1.0, 1.0),
    ],
)  # fmt: skip
def test_values_stand_where_the_scale_puts_them(parameter: dict[str, Any], value: Any, place: float | None) -> None:
    found = Scale.of(parameter, [value]).position(value)
    assert found == (None if place is None else pytest.approx(place))


def test_a_range_without_width_and_a_zero_on_a_log_axis_do_no_harm() -> None:
    fixed = Scale.of({"name": "x", "low": 1.0, "high": 1.0}, [1.0])
    assert fixed.position(1.0) == 0.5
    assert Scale.of(RATE, [0]).ticks[0] == (0.0, "0")


def test_every_trial_is_a_line_the_best_on_top_and_stopped_ones_grey() -> None:
    trials = searched(20, noise=0.005)
    chart = recipes_chart(trials, "a", 0, SPACE, ACCURACY)
    assert chart is not None
    lines = chart.figure["data"]
    assert len(lines) == len(chart.rows) == 20
    assert {line["line"]["color"] for line in lines[:4]} == {"@soft"}
    assert lines[-1]["line"]["color"] == "@q0"
    best = max((trial for trial in trials if trial.status == "completed"), key=lambda trial: trial.validation or 0)
    assert f"trial {best.number}:" in lines[-1]["text"][0]
    assert chart.rows[0][0] == str(best.number)
    words = [one["text"] for one in chart.figure["layout"]["annotations"]]
    assert "learning_rate (log scale)" in words
    assert "64" in words


def test_for_a_loss_the_best_is_the_lowest() -> None:
    chart = recipes_chart(searched(20), "a", 0, SPACE, get_metric("log_loss"))
    assert chart is not None
    values = [float(row[2]) for row in chart.rows if row[1] == "completed"]
    assert values == sorted(values)


def test_names_from_outside_are_no_markup_in_the_picture() -> None:
    hostile = {"name": "<b>x</b>", "choices": ["<i>1</i>", "2"]}
    trials = [replace(t, recipe={"<b>x</b>": ["<i>1</i>", "2"][t.number % 2]}) for t in searched(12)]
    assert len(scales({"parameters": [hostile]}, trials)) == 1
    chart = recipes_chart(trials, "<u>a</u>", 0, {"parameters": [hostile]}, ACCURACY)
    assert chart is None  # they are another contender's
    chart = recipes_chart(
        [replace(t, contender="<u>a</u>") for t in trials], "<u>a</u>", 0, {"parameters": [hostile]}, ACCURACY
    )
    assert chart is not None
    words = [one["text"] for one in chart.figure["layout"]["annotations"]]
    assert words == ["&lt;b&gt;x&lt;/b&gt;", "&lt;i&gt;1&lt;/i&gt;", "2"]
