"""A whole run on pictures, from a folder to a model that transformers serves; nothing but the folder is named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from automl import api
from automl.config import make_request
from automl.leaderboard.store import RunFolder
from tests.pictures import CLASSES, tiny_net, write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shapes/train, shapes/test, and the checkpoint `net`."""
    directory = tmp_path_factory.mktemp("ground")
    write_pictures(directory / "shapes" / "train", 20)
    write_pictures(directory / "shapes" / "test", 8, start=100)
    tiny_net(directory / "net")
    return directory


@pytest.fixture(scope="module")
def finished(ground: Path) -> api.Board:
    values = {
        "source": str(ground / "shapes"),
        "models": str(ground / "net"),
        "adapt": "full,frozen",
        "trials": 2,
        "max_epochs": 4,
        "seeds": 2,
        "out": str(ground / "run"),
    }
    return api.run(make_request(values))


def test_contenders_and_yardsticks_of_pictures_have_their_rows(finished: api.Board) -> None:
    rows = {row.contender: row for row in finished.rows}
    assert set(rows) == {
        "net/full", "net/frozen", "constant", "net features + nearest neighbours",
        "net features + logistic regression",
    }  # fmt: skip
    assert [row.error for row in rows.values() if row.status != "ok"] == []
    assert finished.comparable
    assert finished.report.exists()
    assert RunFolder(finished.directory).read_contest()["task"] == "image-classification"


def test_frozen_trainings_read_stored_activations(finished: api.Board) -> None:
    stored = (RunFolder(finished.directory).cache / "net-frozen").glob("*prefix-4-*/key.json")
    assert {json.loads(key.read_text())["part"] for key in stored} == {"train", "validation"}


def test_the_shipped_model_predicts_pictures_and_loads_as_a_pipeline(finished: api.Board, ground: Path) -> None:
    from transformers import pipeline

    files = [str(file) for file in sorted((ground / "shapes" / "test").rglob("*.png"))]
    directory = RunFolder(finished.directory).models / "net-full"
    served = pipeline("image-classification", str(directory))
    ours = finished.model("net/full")
    assert [answers[0]["label"] for answers in served(files)] == ours.predict(files)
    assert ours.predict_proba(files).shape == (24, 3)
    card = (directory / "README.md").read_text()
    assert "pipeline('image-classification'" in card
    assert "picture.png" in card


def test_predictions_are_written_for_a_folder_and_for_a_table(
    finished: api.Board, ground: Path, tmp_path: Path
) -> None:
    out = api.predict(finished.directory, str(ground / "shapes" / "test" / "bar"), tmp_path / "folder.csv")
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["prediction"] for row in rows} <= set(CLASSES)
    (ground / "new.csv").write_text("image\nshapes/test/bar/100.png\n")
    out = api.predict(finished.directory, str(ground / "new.csv"), tmp_path / "table.csv")
    with out.open() as file:
        [row] = csv.DictReader(file)
    assert row["prediction"] == rows[0]["prediction"]
