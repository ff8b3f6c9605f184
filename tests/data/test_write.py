"""What is written can be read again, whatever a column holds; a bad name is refused before the work."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from automl.data.write import check_writable, write_rows
from automl.errors import DataError

NESTED = pa.table({"text": ["a", "b"], "tags": [["x", "é"], None], "meta": [{"n": 1}, {"n": None}]})


@pytest.mark.parametrize(("name", "delimiter"), [("out.csv", ","), ("out.tsv", "\t")])
def test_lists_and_structs_are_json_in_a_file_of_cells(tmp_path: Path, name: str, delimiter: str) -> None:
    write_rows([NESTED, NESTED], tmp_path / name)
    with (tmp_path / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=delimiter))
    assert len(rows) == 4
    assert json.loads(rows[2]["tags"]) == ["x", "é"]
    assert rows[1]["tags"] == ""
    assert json.loads(rows[0]["meta"]) == {"n": 1}


def test_parquet_keeps_them_as_they_are(tmp_path: Path) -> None:
    write_rows(NESTED, tmp_path / "out.parquet")
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == NESTED.to_pylist()


@pytest.mark.parametrize("name", ["out.xlsx", "out", "folder.csv", "file.txt/out.csv"])
def test_a_name_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(DataError) as problem:
        check_writable(tmp_path / name)
    assert problem.value.todo == "Choose another name for the output"
