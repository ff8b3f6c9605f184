"""What is said of folds: advice before they are used, and afterwards who won by them."""

from __future__ import annotations

from typing import Any

import pytest

from automl.leaderboard.fold_notes import fold_advice, fold_notes, fold_plan, playoff_table, spread_words
from automl.leaderboard.folds import validation_rows, when_chosen_and_again
from automl.metrics import get_metric
from automl.types import Cost, TrialResult

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
    two = FOLDED | {"folds": {"count": 2}, "budget": {"trials": 1}}
    assert "on the other too" in next(fold_plan(two | {"budget": {"trials": 9}}))
    assert "with one trial nothing plays off" in next(fold_plan(two))
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
         "a/full: the recipe of a-1 has the best mean over 5 of 5 folds (a-1 75.0, a-2 failed); "
         "a-2 had led the search"),
        ("log_loss", [standing("a-1", 0.2, 0.3, folds=2), standing("a-2", 0.4, 0.35, folds=2)],
         "a/full: the recipe of a-1 has the best mean over 2 of 5 folds (a-1 0.300, a-2 0.350); "
         "it had led the search too"),
        ("accuracy", [standing("a-2", 0.9, None, folds=0), standing("a-1", 0.8, None, folds=0)],
         "a/full: every recipe of the play-off failed on some fold, so the leader of the search was taken"),
    ],
)  # fmt: skip
def test_who_won_by_which_mean_is_told_beside_who_had_led(
    metric: str, played: list[dict[str, Any]], said: str
) -> None:
    winners = {"a/full": {"trial": "a-1", "playoff": played}}
    assert list(fold_notes(FOLDED, winners, get_metric(metric))) == [said]
    assert not list(fold_notes(SMALL, winners, get_metric(metric)))


def test_a_play_off_is_a_table_of_folds() -> None:
    played = [standing("a-full-012", 0.8, 0.65), standing("a-full-000", 0.9, None) | {"values": {"1": 0.9}}]
    winners = {"a/full": {"trial": "a-1", "playoff": played}, "b/full": {"trial": "b-0"}}
    head, rows = playoff_table(FOLDED | {"folds": {"count": 3}}, winners, get_metric("accuracy"))
    assert head == ("contender", "trial", "mean", "fold 1", "fold 2", "fold 3")
    assert rows == [("a/full", "12", "65.0", "80.0", "50.0", "–"), ("a/full", "0", "failed", "90.0", "–", "–")]
    assert playoff_table(SMALL, {"a/full": {"trial": "a-1"}}, get_metric("accuracy"))[1] == []


def test_what_the_search_promised_is_held_against_finals_on_the_same_cuts() -> None:
    def final(fold: int | None, validation: float | None) -> TrialResult:
        return TrialResult(
            id="", kind="final", contender="a/full", status="completed", recipe={}, seed=1, horizon_samples=1,
            curve=(), validation=validation, cost=Cost(), error=None, predictions_file=None, split_fingerprint="",
            environment={}, started_at="", ended_at="", fold=fold,
        )  # fmt: skip

    played = [standing("a-1", 0.9, 0.7)]
    winner = {"trial": "a-1", "search_validation": 0.9, "playoff": played}
    finals = [final(1, 0.8), final(2, 0.4), final(3, 0.1), final(2, None)]
    assert when_chosen_and_again(winner, finals) == pytest.approx((0.7, 0.6)), "fold 3 decided nothing"
    assert when_chosen_and_again({"search_validation": 0.9}, finals) == pytest.approx((0.9, 0.8)), "no play-off"
    assert when_chosen_and_again({"search_validation": 0.9}, finals[1:]) is None
    assert when_chosen_and_again({"search_validation": None}, finals) is None
    once = [final(None, 0.8), final(None, 0.6)]
    assert when_chosen_and_again({"search_validation": 0.9}, once) == pytest.approx((0.9, 0.7))


def test_a_winner_without_a_play_off_was_chosen_on_one_fold_alone() -> None:
    (told,) = fold_notes(FOLDED, {"a/full": {"trial": "a-0"}, "b/full": {"trial": None}}, get_metric("accuracy"))
    assert told == "a/full: chosen on the first fold alone, for there was no play-off"
