"""The report tells a colleague what was done, in sentences that hold no value of the data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.leaderboard.board import Leaderboard, make_board
from automl.leaderboard.importance import Importance
from automl.leaderboard.report import write_report
from automl.leaderboard.store import RunFolder
from automl.leaderboard.story import recipe_words, story
from tests.leaderboard.run_folder import RECIPE, Contest, Plan

WARNING = {"kind": "imbalance", "severity": "warn", "count": 7, "what": "rare classes", "suggestion": "judge by F1"}


def finished(path: Path, *plans: Plan) -> tuple[RunFolder, Leaderboard]:
    folder = Contest(path=path / "run", plans=plans or [Plan(name="a", accuracy=0.95, default_accuracy=0.85)]).build()
    return folder, make_board(folder, "test")


def told(folder: RunFolder, board: Leaderboard, **changed: Any) -> dict[str, str]:
    facts = {"profile": folder.profile(), "repairs": folder.cleaning()["repairs"]}
    values: dict[str, Any] = {
        "facts": facts,
        "importances": [],
        "overfitting": [],
        "trials": folder.trials(),
        **changed,
    }
    return {heading: " ".join(sentences) for heading, sentences in story(board, **values)}


def test_the_data_s_way_is_told_in_the_order_in_which_it_was_gone(tmp_path: Path) -> None:
    said = told(*finished(tmp_path))["What was done to the data"]
    steps = ["1,800 rows were read.", "Train: 3 duplicates removed.", "600 rows gave the scores above"]
    assert [said.index(step) for step in steps] == sorted(said.index(step) for step in steps)


def test_a_winning_recipe_is_told_with_what_tuning_gained(tmp_path: Path) -> None:
    said = told(*finished(tmp_path))["Which recipes won"]
    assert "learning rate 0.0002 in batches of 16" in said
    assert "better than the untuned default." in said


def test_a_default_that_won_and_a_contender_that_failed_are_called_so(tmp_path: Path) -> None:
    folder, board = finished(tmp_path, Plan(name="a", accuracy=0.9), Plan(name="b", accuracy=0, failed=True))
    default = {"mean": 0.0, "low": 0.0, "high": 0.0}
    rows = [replace(row, tuned_minus_default=default) if row.contender == "a" else row for row in board.rows]
    said = told(folder, replace(board, rows=tuple(rows)))["Which recipes won"]
    assert "It is the untuned default: nothing that was tried was better on validation." in said
    assert "b: none; RuntimeError: the loss is not a number." in said


def test_what_mattered_is_told_or_why_it_is_not_known(tmp_path: Path) -> None:
    shares = (("learning_rate", 0.6, 0.5, 0.7), ("dropout", 0.1, 0.0, 0.2))
    found = [
        Importance(contender="a", trials=20, shares=shares, together=0.3, explained=0.8),
        Importance(contender="b", trials=2, why_not="2 whole trials: too few to tell (10 are needed)"),
    ]
    said = told(*finished(tmp_path), importances=found)["What mattered"]
    assert "its 20 whole trials apart, most goes back to learning rate (60%) and dropout (10%); 30% to comb" in said
    assert "b: not known, 2 whole trials: too few to tell" in said


def test_warnings_and_notes_of_trainings_that_nobody_acted_on_are_listed(tmp_path: Path) -> None:
    folder, board = finished(tmp_path)
    name = "Warnings that were raised and not acted on"
    assert told(folder, board)[name] == "None."  # what was repaired is no open warning
    quoting = {**WARNING, "kind": "constant_column", "what": "always 'a secret'"}
    facts = {"profile": {"findings": [WARNING, quoting]}, "repairs": []}
    noted = [replace(trial, notes=("memory held half a batch",)) for trial in folder.trials()[:2]]
    said = told(folder, board, facts=facts, trials=noted)[name]
    assert "Imbalance, 7 rows: rare classes. Advice: judge by F1." in said
    assert "2 trainings: memory held half a batch." in said
    assert "a secret" not in said


def test_a_recipe_is_told_by_what_is_frozen_first_and_what_holds_it_back() -> None:
    assert recipe_words({**RECIPE, "frozen_share": 1.0}).startswith(
        "learning rate 0.0001 in batches of 16; the body frozen, only the head learns; held back by dropout 0.1"
    )
    gradual = {**RECIPE, "frozen_share": 0.5, "head_only_share": 0.1, "release_share": 0.3, "dropout": 0.0}
    assert recipe_words(gradual) == (
        "learning rate 0.0001 in batches of 16; the lowest 50% of the blocks frozen; the head alone for the first "
        "10% of the training; the blocks released one by one over 30% of it; nothing that holds it back"
    )


def test_the_report_holds_the_story(tmp_path: Path) -> None:
    folder, board = finished(tmp_path)
    page = write_report(folder, board).read_text(encoding="utf-8")
    assert page.index('id="trust"') < page.index("The fine-tuning in words") < page.index('id="search"')
    assert json.loads(folder.leaderboard_json.read_text())["winner"] == "a"
