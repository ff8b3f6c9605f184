"""Boards are merged where the runs agree on what makes rows comparable, and ranked anew; else it says why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from automl.errors import RunFolderError
from automl.leaderboard.board import make_board
from automl.leaderboard.compare import compare_runs
from automl.leaderboard.store import RunFolder
from tests.leaderboard.run_folder import Contest, Plan


def run(path: Path, *plans: Plan, **changes: Any) -> RunFolder:
    folder = Contest(path=path, plans=plans, rows=400, seed=7, seeds=(1, 2, 3, 4, 5, 6), **changes).build()
    make_board(folder, "winners fixed, finals done")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on one split: `first` with a strong and a weak contender, `second` with a stronger one."""
    place = tmp_path_factory.mktemp("runs")
    run(place / "first", Plan(name="strong", accuracy=0.9), Plan(name="weak", accuracy=0.75))
    run(place / "second", Plan(name="stronger", accuracy=0.97), Plan(name="weak", accuracy=0.75))
    return place


@pytest.fixture
def two(made: Path, tmp_path: Path) -> list[RunFolder]:
    place = shutil.copytree(made, tmp_path / "runs")
    return [RunFolder(place / "first"), RunFolder(place / "second")]


def change(file: Path, edit: Callable[[Any], object]) -> None:
    value = json.loads(file.read_text(encoding="utf-8"))
    edit(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def test_rows_of_two_runs_are_ranked_against_one_another(two: list[RunFolder]) -> None:
    found = compare_runs(two)
    assert found.merged
    assert found.ranked_anew
    names = [row.contender for row in found.rows if row.kind == "contender"]
    assert names == ["stronger", "strong", "weak (first)", "weak (second)"] or names == [
        "stronger", "strong", "weak (second)", "weak (first)",
    ]  # fmt: skip
    assert found.winner == "stronger"
    ranks = {row.contender: row.rank for row in found.rows}
    assert ranks["stronger"] == 1
    assert ranks["strong"] == 2
    assert ranks["weak (first)"] == ranks["weak (second)"] == 3  # they tie: the same share is right
    assert found.run_of is not None
    assert found.run_of["strong"] == "first"


def test_a_row_has_the_same_score_on_the_common_board(two: list[RunFolder]) -> None:
    rows = {row["contender"]: row for row in json.loads(two[0].leaderboard_json.read_text())["rows"]}
    strong = next(row for row in compare_runs(two).rows if row.contender == "strong")
    assert (strong.test_mean, list(strong.test_per_seed)) == (
        rows["strong"]["test_mean"],
        rows["strong"]["test_per_seed"],
    )


def test_each_test_is_opened_once_and_the_opening_is_on_record(two: list[RunFolder]) -> None:
    before = [len(folder.test_accesses()) for folder in two]
    compare_runs(two)
    assert [len(folder.test_accesses()) for folder in two] == [count + 1 for count in before]
    assert two[0].test_accesses()[-1]["why"] == "compare"


def test_a_baseline_that_says_the_same_in_both_runs_stands_once(two: list[RunFolder]) -> None:
    change(two[1].leaderboard_json, lambda board: board["rows"].clear())
    one = json.loads(two[0].leaderboard_json.read_text())["rows"]
    change(two[1].leaderboard_json, lambda board: board["rows"].extend(r for r in one if r["kind"] == "baseline"))
    found = compare_runs(two)
    assert sorted(row.contender for row in found.rows if row.kind == "baseline") == [
        "constant",
        "tf-idf + logistic regression",
    ]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda board: board.update(split_fingerprint="e" * 64), "they do not have the same rows of data"),
        (lambda board: board.update(metric="macro_f1"), "same metric (first: accuracy; second: macro_f1)"),
        (lambda board: board["protocol"].update(task="another"), "they do not have the same task"),
        (lambda board: board["protocol"]["budget"].update(trials=8), "first: 4 trials of 900 samples"),
        (lambda board: board["protocol"].update(time_limit_seconds=60), "within 60 s for the run"),
        (lambda board: board["protocol"].update(horizon_samples=1800), "4 trials of 1800 samples"),
    ],
)
def test_runs_that_do_not_agree_are_not_merged_and_it_says_why(
    two: list[RunFolder], edit: Callable[[Any], object], said: str
) -> None:
    change(two[1].leaderboard_json, edit)
    before = len(two[0].test_accesses())
    found = compare_runs(two)
    assert not found.merged
    assert found.rows == ()
    (reason,) = found.not_merged_because
    assert said in reason
    assert len(two[0].test_accesses()) == before  # no test is opened for a refusal


def test_without_predictions_rows_stand_side_by_side_and_nobody_wins(two: list[RunFolder]) -> None:
    shutil.rmtree(two[1].predictions)
    found = compare_runs(two)
    assert found.merged
    assert not found.ranked_anew
    assert found.winner is None
    assert any("could not be ranked against one another" in note for note in found.notes)
    assert {row.contender for row in found.rows} >= {"strong", "stronger"}


def test_a_run_that_is_not_comparable_in_itself_stamps_the_common_board(two: list[RunFolder]) -> None:
    change(two[1].leaderboard_json, lambda board: board.update(not_comparable_because=["devices differ"]))
    found = compare_runs(two)
    assert found.not_comparable_because == ("second: devices differ",)
    assert found.verdict.startswith("Not comparable")


def test_runs_on_different_devices_are_stamped(tmp_path: Path) -> None:
    place = {"precision": "float32", "threads": 2, "versions_sha": "abc"}
    first = run(tmp_path / "first", Plan(name="a", accuracy=0.9), environment={"device": "cpu", **place})
    second = run(tmp_path / "second", Plan(name="b", accuracy=0.9), environment={"device": "H200", **place})
    assert compare_runs([first, second]).not_comparable_because == ("trainings ran on different devices (H200, cpu)",)


def test_a_run_that_began_after_the_test_was_opened_for_another_is_told(two: list[RunFolder]) -> None:
    assert not any("began after" in note for note in compare_runs(two).notes)
    lines = [json.loads(line) for line in two[1].trials_file.read_text().splitlines()]
    for line in lines:
        line["started_at"] = "2099-01-01T00:00:00.000+00:00"
    two[1].trials_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "second began after the test had been opened for first" in compare_runs(two).notes


def test_one_run_alone_is_no_comparison(two: list[RunFolder]) -> None:
    with pytest.raises(RunFolderError, match="two or more"):
        compare_runs([two[0], two[0]])


def test_a_run_without_a_board_is_told(two: list[RunFolder]) -> None:
    two[1].leaderboard_json.unlink()
    with pytest.raises(RunFolderError, match="has no board yet"):
        compare_runs(two)


def test_the_json_form_is_plain_and_names_each_rows_run(two: list[RunFolder]) -> None:
    value = compare_runs(two).to_json()
    assert value == json.loads(json.dumps(value))
    assert {row["run"] for row in value["rows"]} == {"first", "second"}


def test_a_run_with_folds_is_not_merged_with_one_without_and_the_folds_are_the_reason(two: list[RunFolder]) -> None:
    for folder, fingerprint in zip(two, ("a" * 64, "b" * 64), strict=True):
        change(folder.data / "split.json", lambda split: split.update(parts={"test": {"sha256": "t"}}))
        change(folder.leaderboard_json, lambda board, own=fingerprint: board.update(split_fingerprint=own))
    change(two[1].leaderboard_json, lambda board: board["protocol"].update(folds={"count": 5}))
    [reason] = compare_runs(two).not_merged_because
    assert reason.startswith("they do not cut training and validation rows in the same ways")
    assert reason.endswith("(first: one cut; second: 5 folds)")
    change(two[1].data / "split.json", lambda split: split.update(parts={"test": {"sha256": "u"}}))
    assert len(compare_runs(two).not_merged_because) == 2, "the test is another one too"
