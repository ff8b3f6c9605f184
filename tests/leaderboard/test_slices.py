"""Scores of slices: with their rows and intervals, the worst one named, and little said of few rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from automl.data.slices import TEST_SLICES, column_name, slices_sha256
from automl.errors import RunFolderError
from automl.leaderboard.board import Leaderboard, make_board
from automl.leaderboard.report import write_report
from automl.leaderboard.slices import worst_slice
from automl.leaderboard.store import RunFolder
from automl.metrics import get_metric
from tests.leaderboard.run_folder import Contest, Plan

ROWS = 600
FROM = ["phone"] * 20 + ["web"] * 400 + ["mail"] * 180


def sliced(tmp_path: Path, **values: Any) -> RunFolder:
    """A run whose contender is mostly wrong on mails and always right by phone."""
    folder = Contest(path=tmp_path / "run", plans=[Plan(name="a", accuracy=0.95)], rows=ROWS, **values).build()
    table = pa.table({"row": np.arange(ROWS), column_name("from"): FROM})
    with pa.OSFile(str(folder.data / TEST_SLICES), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    (folder.data / "split.json").write_text(json.dumps(folder.split() | {"test_slices_sha256": slices_sha256(table)}))
    folder.write_contest(folder.read_contest() | {"slices": ["from"]})
    with pa.memory_map(str(folder.data / "test_labels.arrow")) as source:
        labels = np.array([word == "yes" for word in pyarrow.ipc.open_file(source).read_all()["label"].to_pylist()])
    for file in folder.predictions.glob("a-final-*.npz"):
        with np.load(file) as arrays:
            told = dict(arrays)
        right = np.where(np.array(FROM) == "mail", np.arange(ROWS) % 3 == 0, told["test"].argmax(axis=1) == labels)
        right[:20] = True
        said = np.where(right, labels, ~labels).astype(int)
        told["test"] = np.eye(2, dtype=np.float32)[said] * 0.6 + 0.2
        np.savez_compressed(file, **told)
    return folder


def board(folder: RunFolder) -> Leaderboard:
    return make_board(folder, "test")


def test_every_slice_has_its_rows_and_an_interval_and_few_rows_are_flagged(tmp_path: Path) -> None:
    found = next(row for row in board(sliced(tmp_path)).rows if row.contender == "a").slices
    told = {one.value: one for one in found}
    assert [(one.value, one.rows, one.few) for one in found] == [
        ("web", 400, False), ("mail", 180, False), ("phone", 20, True),
    ]  # fmt: skip
    assert told["mail"].mean == pytest.approx(1 / 3)
    assert told["phone"].mean == 1.0
    assert all((one.low or 0) <= (one.mean or 0) <= (one.high or 0) for one in found)
    assert (told["phone"].low or 1) < 0.9, "twenty right answers are no proof of all"
    assert told["mail"].high is not None
    assert 0.38 < told["mail"].high < 0.46


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "log_loss"])
def test_the_worst_slice_is_named_whatever_the_direction(tmp_path: Path, metric: str) -> None:
    made = board(sliced(tmp_path, metric=metric))
    row = next(one for one in made.rows if one.contender == "a")
    worst = worst_slice(row, get_metric(metric))
    assert worst is not None
    assert worst.value == "mail"
    assert any("a is weakest where from is mail" in note for note in made.protocol["notes"])


def test_a_metric_that_one_slice_does_not_define_is_left_out_there(tmp_path: Path) -> None:
    folder = sliced(tmp_path, metric="auroc", metrics=("auroc", "accuracy"), shares=(0.97, 0.03), seed=3)
    found = next(row for row in board(folder).rows if row.contender == "a").slices
    assert next(one for one in found if one.value == "phone").mean is None


def test_the_report_shows_slices_and_says_that_it_quotes_the_data(tmp_path: Path) -> None:
    folder = sliced(tmp_path)
    page = write_report(folder, board(folder)).read_text(encoding="utf-8")
    assert "Slices of the test" in page
    assert "too few to judge" in page
    assert "worst, and clearly below the whole" in page
    assert "worst, maybe by chance" in page, "of the baselines, which know nothing of slices"
    assert 'name="automl-data-rows" content="quoted"' in page


def test_the_board_is_read_back_with_its_slices(tmp_path: Path) -> None:
    made = board(sliced(tmp_path))
    assert Leaderboard.from_json(json.loads(json.dumps(made.to_json()))).rows == made.rows


def test_slices_that_are_not_those_of_the_split_are_refused(tmp_path: Path) -> None:
    folder = sliced(tmp_path)
    changed = pa.table({"row": np.arange(ROWS), column_name("from"): FROM[::-1]})
    with pa.OSFile(str(folder.data / TEST_SLICES), "wb") as file, pa.ipc.new_file(file, changed.schema) as writer:
        writer.write_table(changed)
    with pytest.raises(RunFolderError, match="slices of this split"):
        board(folder)
    (folder.data / TEST_SLICES).unlink()
    with pytest.raises(RunFolderError, match="missing"):
        board(folder)
