"""What is said of folds: advice before they are used, and afterwards who won by them."""

from __future__ import annotations

from typing import Any

import pytest

from automl.leaderboard.fold_notes import fold_advice, fold_notes, fold_plan, spread_words
from automl.leaderboard.folds import validation_rows
from automl.metrics import get_metric

SMALL: dict[str, Any] = {"counts": {"validation": 90}, "folds": None, "may_fold": True, "budget": {"trials": 12}}
FOLDED = SMALL | {"folds": {"count": 5, "train": [360] * 5, "validation": [90, 91, 90, 89, 90]}}


def test_few_validation_rows_are_told_of_folds() -> None:
    assert "--folds 5" in (fold_advice(SMALL) or "")


@pytest.mark.parametrize(
    "contest",
    [
        FOLDED,
        SMALL | {"counts": {"validation": 200}},
        SMALL | {"may_fold": False},  # given, or cut by time
        {"counts": {"validation": 90}},  # a run of before
    ],
)
def test_where_folds_are_used_not_needed_or_not_possible_nothing_is_advised(contest: dict[str, Any]) -> None:
    assert fold_advice(contest) is None


def test_the_plan_tells_what_folds_are_for() -> None:
    (line,) = fold_plan(FOLDED)
    assert line.startswith("folds: 5; the search is judged on the first, the 3 recipes that lead")
    assert "the 2 recipes" in next(fold_plan(FOLDED | {"budget": {"trials": 2}}))
    assert not list(fold_plan(SMALL))
    assert "a cut for every final" in spread_words(FOLDED)
    assert "cut" not in spread_words(SMALL)


def test_a_training_is_judged_by_the_rows_of_its_fold() -> None:
    assert [validation_rows(FOLDED, fold) for fold in (1, 2, 4)] == [90, 91, 89]
    assert validation_rows(SMALL, None) == 90


def standing(trial: str, first: float, mean: float | None, folds: int = 5) -> dict[str, Any]:
    return {"trial": trial, "values": {"1": first, "2": 0.5}, "mean": mean, "folds": folds}


@pytest.mark.parametrize(
    ("metric", "played", "said"),
    [
        ("accuracy", [standing("a-1", 0.8, 0.75), standing("a-2", 0.9, None)],
         "a/full: won on 5 of 5 folds by the mean (a-1 75.0, a-2 failed), where a-2 had led the search"),
        ("log_loss", [standing("a-1", 0.2, 0.3, folds=2), standing("a-2", 0.4, 0.35, folds=2)],
         "a/full: won on 2 of 5 folds by the mean (a-1 0.300, a-2 0.350), which led the search too"),
    ],
)  # fmt: skip
def test_who_won_by_which_mean_is_told_beside_who_had_led(
    metric: str, played: list[dict[str, Any]], said: str
) -> None:
    winners = {"a/full": {"trial": "a-1", "playoff": played}}
    assert list(fold_notes(FOLDED, winners, get_metric(metric))) == [said]
    assert not list(fold_notes(SMALL, winners, get_metric(metric)))


def test_a_winner_without_a_play_off_was_chosen_on_one_fold_alone() -> None:
    (told,) = fold_notes(FOLDED, {"a/full": {"trial": "a-0"}, "b/full": {"trial": None}}, get_metric("accuracy"))
    assert told == "a/full: chosen on the first fold alone, for there was no play-off"
