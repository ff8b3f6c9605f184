"""An exception's text may hold the row that it failed on: the board then leaves the text out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from automl.leaderboard.board import make_board
from automl.leaderboard.quoting import DataQuotes, finding_quotes
from automl.leaderboard.store import RunFolder
from tests.leaderboard.run_folder import Contest, Plan

SECRET = "My card 4111 1111 was charged twice by your shop in Ulm"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    plans = [Plan(name="a", accuracy=0.9), Plan(name="broken", accuracy=0, failed=True)]
    return Contest(path=tmp_path / "run", plans=plans, texts=(SECRET, "fine")).build()


@pytest.mark.parametrize(
    "error",
    [
        f"ValueError: could not convert {SECRET!r}",
        f"ValueError: near '{SECRET[8:40]}'",
        "KeyError: 'fine (1)'",
        f"seed 3: ValueError: {SECRET}",
    ],
)
def test_an_error_that_quotes_an_input_keeps_its_kind_alone(folder: RunFolder, error: str) -> None:
    told = DataQuotes(folder.data).without_rows(error)
    assert told is not None
    assert "Ulm" not in told
    assert "charged" not in told
    assert "fine" not in told
    assert told.startswith(error.partition("Error")[0] + "Error: the message quotes a data row")


@pytest.mark.parametrize("error", ["RuntimeError: the loss is not a number", "out of memory", "KeyError: 'weight'"])
def test_other_errors_stay_as_they_are(folder: RunFolder, error: str) -> None:
    assert DataQuotes(folder.data).without_rows(error) == error


def test_no_error_and_no_data_are_no_quotation(tmp_path: Path) -> None:
    assert DataQuotes(tmp_path).without_rows(None) is None
    assert DataQuotes(tmp_path).without_rows("ValueError: 'x'") == "ValueError: 'x'"


def test_a_very_long_error_is_cut(tmp_path: Path) -> None:
    told = DataQuotes(tmp_path).without_rows("x" * 5_000)
    assert told is not None
    assert len(told) == 1_000


def test_neither_board_nor_markdown_tell_the_row(folder: RunFolder) -> None:
    last = next(trial for trial in reversed(folder.trials()) if trial.contender == "broken")
    folder.append_trial(replace(last, id="broken-099", error=f"ValueError: bad text {SECRET!r}"))
    board = make_board(folder, "test")
    failed = next(row for row in board.rows if row.contender == "broken")
    assert failed.error is not None
    assert failed.error.startswith("ValueError: the message quotes a data row")
    for file in (folder.leaderboard_md, folder.leaderboard_json):
        assert "charged" not in file.read_text(encoding="utf-8")


def test_findings_that_show_a_cell_are_known() -> None:
    assert finding_quotes({"kind": "constant_column"})
    assert not finding_quotes({"kind": "exact_duplicates"})
