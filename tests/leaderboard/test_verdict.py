"""The verdict of boards that say nothing about their contenders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from automl.leaderboard.board import Leaderboard, make_board
from automl.leaderboard.verdict import verdict, winner_of
from automl.metrics import get_metric
from tests.leaderboard.run_folder import Contest, Plan

ACCURACY = get_metric("accuracy")
ONE, TWO = Plan(name="one/full", accuracy=0.9), Plan(name="two/full", accuracy=0.7)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    folder = Contest(path=tmp_path_factory.mktemp("board") / "run", plans=[ONE, TWO]).build()
    return make_board(folder, "test")


def test_a_usual_board_has_no_such_words(board: Leaderboard) -> None:
    assert board.verdict.startswith("one/full wins")


def test_a_board_whose_contenders_all_predict_one_class_says_so_first(board: Leaderboard) -> None:
    def collapsed(names: tuple[str, ...]) -> str:
        rows = [
            replace(row, collapsed_finals=len(row.seeds)) if row.contender in names else row for row in board.rows
        ]
        return verdict(rows, [], ACCURACY)

    told = "Every contender predicts one class for all test rows in every final, so nothing was learnt; "
    assert collapsed(("one/full", "two/full")).startswith(told)
    assert "one class" not in collapsed(("one/full",))  # a note tells of that one


def test_a_board_on_which_every_row_scores_the_same_says_so(board: Leaderboard) -> None:
    rows = [replace(row, test_mean=0.5, tie_group=1) for row in board.rows]
    told = verdict(rows, [], ACCURACY)
    assert told.startswith("Every row scores the same (accuracy 50.0), so this board tells nothing apart: look at")
    assert "tie" in told or "cannot be" in told
    assert winner_of(rows) is None


def test_both_are_said_in_one_sentence(board: Leaderboard) -> None:
    rows = [replace(row, test_mean=0.5, tie_group=1, collapsed_finals=len(row.seeds)) for row in board.rows]
    assert "nothing was learnt; every row scores the same (accuracy 50.0)" in verdict(rows, [], ACCURACY)


def test_a_board_whose_contenders_all_failed_praises_no_baseline(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[replace(ONE, failed=True), replace(TWO, failed=True)]).build()
    found = make_board(folder, "test")
    assert found.verdict in (
        "No contender could be scored; one/full and two/full failed",
        "No contender could be scored; two/full and one/full failed",
    )
    assert found.winner is None
