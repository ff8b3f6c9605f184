"""A board without a winner says what would settle it, and in words that need no statistics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from automl.leaderboard.board import Leaderboard, make_board
from automl.leaderboard.explain import takeaways
from automl.leaderboard.settling import settling
from automl.metrics import get_metric
from tests.leaderboard.run_folder import Contest, Plan

ACCURACY = get_metric("accuracy")
OPEN: dict[str, Any] = {
    "better": "a", "worse": "b", "difference": 0.02, "gap": 0.02, "test_rows": 1_234, "seeds": 12, "seeds_now": 5,
    "with_seeds": 5,
}  # fmt: skip


def board(path: Path, plans: list[Plan], **values: Any) -> Leaderboard:
    return make_board(Contest(path=path / "run", plans=plans, **values).build(), "test")


def test_a_tie_is_asked_for_more_rows_or_seeds_on_board_markdown_and_first_screen(tmp_path: Path) -> None:
    plans = [Plan(name="a", accuracy=0.91), Plan(name="b", accuracy=0.90)]
    found = board(tmp_path, plans, rows=400, seeds=(1, 2, 3, 4, 5))
    assert found.winner is None
    plan = found.protocol["statistics"]["to_settle"]
    assert {plan["better"], plan["worse"]} == {"a", "b"}
    assert plan["test_rows"] > 400
    told = dict(takeaways(found, ACCURACY))["What would settle it"]
    assert "If that gap is real, then to show it in 8 of 10 repeats, it takes about" in told
    assert "test rows (there are 400)" in told
    assert "What would settle it: a and b scored" in found.to_markdown()


def test_a_winner_needs_nothing_more(tmp_path: Path) -> None:
    found = board(tmp_path, [Plan(name="a", accuracy=0.95), Plan(name="b", accuracy=0.80)])
    assert found.winner == "a"
    assert found.protocol["statistics"]["to_settle"] is None
    answers = dict(takeaways(found, ACCURACY))
    assert answers["What would settle it"] == "Nothing more is needed for this choice."
    assert answers["What is not known"].startswith("By how much it is better: than b by ")
    assert "What would settle it" not in found.to_markdown()


def test_a_contender_that_ties_with_a_baseline_is_held_against_that(tmp_path: Path) -> None:
    plans = [Plan(name="a", accuracy=0.72), Plan(name="b", accuracy=0.71)]
    plan = board(tmp_path, plans, rows=300).protocol["statistics"]["to_settle"]
    assert {plan["better"], plan["worse"]} & {"a", "b"}
    assert {plan["better"], plan["worse"]} & {"tf-idf + logistic regression"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "it takes about 1,300 test rows (there are 400) with as many seeds, or 12 seeds (there are 5)"),
        ({"seeds": None}, "with as many seeds. More seeds alone would not do."),
        ({"test_rows": None}, "it takes 12 seeds (there are 5) on the same rows. More test rows alone would not do."),
        ({"seeds": None, "with_seeds": 10}, "(there are 400) together with 10 seeds. Neither alone would do."),
        ({"seeds": None, "test_rows": None}, "no sensible number of test rows or seeds is enough: take either."),
        ({"difference": 0.001, "gap": 0.005}, "0.1 points apart, less than the 0.5 points that count as equal."),
    ],
)
def test_every_plan_has_its_sentence(changed: dict[str, Any], said: str) -> None:
    assert said in settling({**OPEN, **changed}, ACCURACY, 400, 0.005)


def test_two_baselines_are_asked_for_rows_and_no_seeds() -> None:
    told = settling({**OPEN, "seeds": None, "seeds_now": 0, "with_seeds": 0}, ACCURACY, 400, 0.005)
    assert told.endswith("it takes about 1,300 test rows (there are 400).")


def test_a_board_of_an_older_version_promises_nothing(tmp_path: Path) -> None:
    found = board(tmp_path, [Plan(name="a", accuracy=0.95), Plan(name="b", accuracy=0.80)])
    values = json.loads(json.dumps(found.to_json()))
    del values["protocol"]["statistics"]["to_settle"]
    older = Leaderboard.from_json(values)
    assert "What would settle it" not in dict(takeaways(older, ACCURACY))
    assert older.to_markdown() == found.to_markdown()
