"""Prepared rows are known again, be they texts or pictures, and changed ones are told."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
from PIL import Image

from automl.config import make_request
from automl.data.fingerprints import row_problem
from automl.data.prepare import prepare
from automl.data.prepared import read_part
from tests.pictures import write_pictures
from tests.toys import prepared_messages


def problem(directory: Path, table: pa.Table) -> str | None:
    part = json.loads((directory / "split.json").read_text())["parts"]["train"]
    inputs = [name for name in table.column_names if name not in ("row", "label")]
    return row_problem(table, inputs, table["label"], part["sha256"])


def test_texts_are_known_again_in_any_order(tmp_path: Path) -> None:
    data = prepared_messages(tmp_path).directory
    table = read_part(data, "train")
    assert problem(data, table) is None
    assert problem(data, table.take(list(range(len(table)))[::-1])) is None


def test_another_label_is_told(tmp_path: Path) -> None:
    data = prepared_messages(tmp_path).directory
    rows = read_part(data, "train").to_pylist()
    rows[0]["label"] = "login" if rows[0]["label"] != "login" else "refund"
    assert "not those of the split" in str(problem(data, pa.Table.from_pylist(rows)))


def test_pictures_are_known_by_what_they_show(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes", 20)
    prepare(make_request({"source": str(tmp_path / "shapes")}), tmp_path / "data")
    table = read_part(tmp_path / "data", "train")
    assert problem(tmp_path / "data", table) is None
    first, second = (Path(path) for path in table["image"].to_pylist()[:2])
    kept = first.read_bytes()
    Image.open(first).transpose(Image.Transpose.ROTATE_90).save(first)
    assert "not those of the split" in str(problem(tmp_path / "data", table))
    first.write_bytes(kept)
    second.unlink()
    assert problem(tmp_path / "data", table) == f"1 of the {len(table)} files that its rows point at are missing"
