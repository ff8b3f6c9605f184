"""Rows of a user's file answered by a shipped model: images alone, in folders, tables and archives; broken ones."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from automl.data.load import read_rows
from automl.errors import DataError
from automl.predict import FineTunedModel, predict_file
from tests.pictures import picture, tiny_net, write_pictures


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a finished run leaves that predicts: a board with one model of images, whose input was called `photo`."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "request.yaml").touch()
    model = tiny_net(folder / "models" / "net", "vit")
    schema = {"task": "image-classification", "inputs": ["photo"], "target": "kind", "classes": list("abcdefg")}
    facts = {"family": "image_classifier", "task": "image-classification", "schema": schema}
    (model / "automl.json").write_text(json.dumps(facts))
    (folder / "leaderboard.json").write_text(json.dumps({"rows": [{"contender": "net", "model_dir": "models/net"}]}))
    return folder


def answered(run: Path, data: Path | str, out: Path) -> tuple[list[dict[str, object]], list[str]]:
    told: list[str] = []
    table, _ = read_rows(str(predict_file(run, str(data), out, tell=told.append)))
    return table.to_pylist(), told


def test_one_image_several_by_a_pattern_a_folder_and_an_archive_of_them(run: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "shapes", 3) / "bar"
    rows, told = answered(run, folder / "001.png", tmp_path / "one.csv")
    assert ([row["image"] for row in rows], told) == ([str(folder / "001.png")], [])
    expected = rows[0]["prediction"], rows[0]["probability"]
    shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    for source in (folder, folder / "*.png", tmp_path / "packed.zip"):
        rows, _ = answered(run, source, tmp_path / "several.csv")
        assert [Path(str(row["image"])).name for row in rows] == ["000.png", "001.png", "002.png"]
        assert (rows[1]["prediction"], rows[1]["probability"]) == expected
    assert [row["image"] for row in rows] == ["000.png", "001.png", "002.png"], "where they lie in the archive"


def test_rows_whose_image_is_broken_or_gone_have_no_answer_and_are_named(run: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "shapes", 3) / "bar"
    (folder / "001.png").write_bytes((folder / "001.png").read_bytes()[:200])
    rows, told = answered(run, folder, tmp_path / "out.csv")
    assert [not row["prediction"] for row in rows] == [False, True, False]
    assert [not row["probability"] for row in rows] == [False, True, False]
    assert told[0].startswith("1 of 3 inputs cannot be read and have no answer: rows 1; the first: ")
    (folder / "table.csv").write_text("photo,number\n000.png,7\n001.png,8\n,9\ngone.png,10\n")
    rows, told = answered(run, folder / "table.csv", tmp_path / "out.parquet")
    assert [row["photo"] for row in rows] == ["000.png", "001.png", "", "gone.png"], "as the table names them"
    assert [row["prediction"] is None for row in rows] == [False, True, True, True]
    assert "3 of 4 inputs cannot be read and have no answer: rows 1, 2, 3" in told[0]


def test_where_no_image_can_be_read_nothing_is_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"not one of the 1 inputs of .*one.jpg can be read.*it is empty \(0 bytes\)"):
        answered(run, tmp_path / "one.jpg", tmp_path / "out.csv")
    (tmp_path / "table.csv").write_text("photo\na.png\nb.png\n")
    with pytest.raises(
        DataError, match="none of the 2 images that column 'photo' names is there, the first: 'a.png'"
    ):
        answered(run, tmp_path / "table.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_images_inside_a_table_are_answered_and_named_by_their_paths(run: Path, tmp_path: Path) -> None:
    room = io.BytesIO()
    picture("bar", 1).save(room, "PNG")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    photos = pa.array([{"bytes": room.getvalue(), "path": "1.png"}, {"bytes": b"none", "path": "2.png"}] * 8, kind)
    parquet.write_table(pa.table({"photo": photos.take(list(range(15)) + [0] * 10)}), tmp_path / "rows.parquet")
    lines = [{"photo": base64.b64encode(room.getvalue()).decode()}]
    (tmp_path / "rows.jsonl").write_text(json.dumps(lines[0]) + "\n")
    [one], _ = answered(run, tmp_path / "rows.jsonl", tmp_path / "a.jsonl")
    rows, told = answered(run, tmp_path / "rows.parquet", tmp_path / "b.csv")
    assert (rows[0]["photo"], rows[0]["prediction"]) == ("1.png", one["prediction"])
    assert [row["prediction"] for row in rows[:4]] == [one["prediction"], "", one["prediction"], ""]
    assert "7 of 25" in told[0]
    model = FineTunedModel(run / "models" / "net")
    assert model.predict([{"photo": {"bytes": room.getvalue(), "path": None}}] * 2) == [one["prediction"]] * 2
    assert model.predict(pa.table({"photo": [room.getvalue()]})) == [one["prediction"]]
