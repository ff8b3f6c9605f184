"""The sentence on overfitting says what the finals' losses did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from automl.leaderboard.overfitting import fit_of, overfitting
from automl.types import TrialResult
from tests.leaderboard.run_folder import Contest


def final(seed: int, train: Sequence[float], validation: Sequence[float | None]) -> TrialResult:
    plain = Contest(path=Path("unused"), plans=[]).result(f"a-final-{seed}", "final", "a")
    points = zip((300, 600, 900), train, validation, strict=True)
    return replace(
        plain, seed=seed, curve=tuple({"samples_seen": s, "train_loss": t, "log_loss": v} for s, t, v in points)
    )


@pytest.mark.parametrize(
    ("train", "validation", "words"),
    [
        ((1.0, 0.5, 0.1), (0.8, 0.5, 0.7), "began to overfit after 600 of 900 samples"),
        ((1.0, 0.5, 0.1), (0.8, 0.6, 0.5), "was still falling at the end"),
        ((1.0, 0.5, 0.1), (0.8, 0.501, 0.5), "had settled by the end"),
        ((1.0, 0.5, 0.1), (0.8, 0.5, 0.505), "did not clearly overfit"),
        ((1.0, 0.5, 0.9), (0.8, 0.5, 0.7), "grew unsteady"),
    ],
)
def test_the_sentence_is_that_of_the_losses(train: Sequence[float], validation: Sequence[float], words: str) -> None:
    fit = fit_of([final(1, train, validation), final(2, train, validation)], "a")
    assert fit is not None
    told = overfitting("a", fit)
    assert words in told
    assert "mean of 2 finals" in told


def test_finals_without_losses_or_with_one_evaluation_tell_nothing() -> None:
    assert fit_of([], "a") is None
    assert fit_of([final(1, (1, 1, 1), (None, None, 0.5))], "a") is None
