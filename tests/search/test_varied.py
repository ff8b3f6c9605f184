"""The report gets a few training rows as they were and as they came out varied, and none where nothing varied."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from automl.leaderboard.store import RunFolder
from automl.search.varied import keep_varied_examples
from automl.types import PreparedData
from tests.pictures import prepared_pictures
from tests.toys import prepared_messages


def kept(directory: Path, prepared: PreparedData, recipe: dict[str, Any]) -> dict[str, Any] | None:
    folder = RunFolder(directory)
    folder.write_winners({"a/full": {"recipe": {"learning_rate": 1e-3}}, "b/full": {"recipe": recipe}})
    keep_varied_examples(folder, prepared)
    return json.loads(folder.varied_file.read_text()) if folder.varied_file.exists() else None


@pytest.mark.parametrize(
    "recipe", [{"augmentation": "trivial"}, {"mirror_share": 1}, {"mixup_alpha": 50.0}, {"smallest_crop": 0.2}]
)
def test_pictures_are_kept_before_and_after(tmp_path: Path, recipe: dict[str, Any]) -> None:
    told = kept(tmp_path / "run", prepared_pictures(tmp_path / "run", each=12), recipe)
    assert told is not None
    assert (told["contender"], told["won"], told["recipe"]) == ("b/full", True, recipe)
    assert len(told["rows"]) == 4
    assert len({row["label"] for row in told["rows"]}) > 1

    def opened(uri: str) -> np.ndarray[Any, Any]:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))), np.float32)

    pairs = [(opened(one["before"]), opened(one["after"])) for row in told["rows"] for one in row["inputs"]]
    assert {picture.shape for pair in pairs for picture in pair} == {(96, 96, 3)}
    assert any(np.abs(before - after).max() > 20 for before, after in pairs)
    if "mirror_share" in recipe:
        assert all((before[:, ::-1] == after).all() for before, after in pairs)


def test_texts_are_kept_before_and_after_and_nothing_of_a_run_that_varied_nothing(tmp_path: Path) -> None:
    prepared = prepared_messages(tmp_path / "run")
    told = kept(tmp_path / "run", prepared, {"word_noise": 0.3})
    assert told is not None
    texts = [(one["before"], one["after"]) for row in told["rows"] for one in row["inputs"]]
    assert any(before != after for before, after in texts)
    assert all(set(after.split()) <= set(before.split()) for before, after in texts)
    train = set(prepared.split.train)
    assert all(row["row"] in train for row in told["rows"]), "no row of validation or test is shown"
    assert kept(tmp_path / "run", replace(prepared), {"word_noise": 0}) is None
