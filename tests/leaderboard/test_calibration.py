"""Calibration: the error is what it is by hand, and perfect forecasts have none."""

from __future__ import annotations

import numpy as np
import pytest

from automl.leaderboard.calibration import Calibration, calibration_of
from automl.leaderboard.scored_charts import calibration_chart
from automl.metrics import Scores


def sure(confidence: float, rows: int) -> Scores:
    return np.tile(np.array([confidence, 1 - confidence], dtype=np.float32), (rows, 1))


def test_the_error_is_the_gap_weighted_by_rows() -> None:
    predictions = np.concatenate([sure(0.95, 10), sure(0.65, 30)])
    labels = np.array([0] * 8 + [1] * 2 + [0] * 27 + [1] * 3)
    found = calibration_of(labels, [predictions])
    assert found.error == pytest.approx((10 * 0.15 + 30 * 0.25) / 40, abs=1e-6)
    assert [(one.low, one.rows, one.right) for one in found.bins] == [(0.6, 30, 0.9), (0.9, 10, 0.8)]


def test_forecasts_that_come_true_have_almost_no_error() -> None:
    random = np.random.default_rng(0)
    chance = random.uniform(0.5, 1.0, 50_000)
    labels = (random.random(50_000) > chance).astype(np.int64)
    found = calibration_of(labels, [np.column_stack([chance, 1 - chance]).astype(np.float32)])
    assert found.error < 0.01


def test_several_trainings_are_averaged_not_pooled() -> None:
    labels = np.zeros(20, dtype=np.int64)
    cautious, rash = sure(0.6, 20), sure(0.4, 20)  # one is always right, the other always wrong
    alone = [calibration_of(labels, [one]).error for one in (cautious, rash)]
    both = calibration_of(labels, [cautious, rash])
    assert both.error == pytest.approx(np.mean(alone))
    assert both.bins[0].rows == 20


def test_certainty_falls_into_the_last_step_and_survives_json() -> None:
    found = calibration_of(np.zeros(3, dtype=np.int64), [sure(1.0, 3)])
    assert found.error == 0
    assert (found.bins[0].low, found.bins[0].high) == (0.9, 1.0)
    assert Calibration.from_json(found.to_json()) == found


@pytest.mark.parametrize(("confidence", "word"), [(0.95, "mostly too sure"), (0.55, "mostly too cautious")])
def test_the_picture_says_in_which_direction_it_errs(confidence: float, word: str) -> None:
    labels = np.array([0] * 75 + [1] * 25)
    chart = calibration_chart("a", 0, calibration_of(labels, [sure(confidence, 100)]))
    assert word in chart.note
    assert "20.0 points" in chart.note
    bars = chart.figure["data"][1]["error_y"]
    assert all(one >= 0 for key in ("array", "arrayminus") for one in bars[key])
