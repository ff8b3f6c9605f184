"""Rows that are read lie in a mapped file that leaves nothing behind, and work on them copies only what it chose."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from automl.config import make_request
from automl.data.load import load_parts
from automl.data.mapped import mapped, mapped_bytes
from automl.data.pieces import pieces, rows_at, taken
from automl.data.prepare import prepare
from automl.data.prepared import read_part
from automl.data.write import write_json, write_rows
from automl.errors import DataError

ROWS = {"text": [f"row {n} of some, with a comma" for n in range(40)], "label": ["ab"[n % 2] for n in range(40)]}


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet", "rows.feather"])
def test_what_is_read_is_mapped_and_leaves_no_file_behind(name: str, tmp_path: Path, scratch: Path) -> None:
    write = feather.write_feather if name.endswith("feather") else write_rows
    write(pa.table(ROWS), tmp_path / name)
    before = pa.total_allocated_bytes()
    table = load_parts(str(tmp_path / name))["train"].table
    assert pa.total_allocated_bytes() - before < table.nbytes / 10, "the rows are not in memory"
    assert table.to_pydict() == ROWS
    assert list(scratch.iterdir()) == []


def test_texts_have_one_type_whatever_the_file_had(tmp_path: Path) -> None:
    columns = {
        "text": pa.array(ROWS["text"], pa.large_string()),
        "label": pa.array(ROWS["label"]).dictionary_encode(),
        "words": pa.array([["a", None]] * 40, pa.list_(pa.string())),
    }
    for write, name in ((parquet.write_table, "rows.parquet"), (feather.write_feather, "rows.feather")):
        write(pa.table(columns), tmp_path / name)
        table = load_parts(str(tmp_path / name))["train"].table
        assert [str(field.type) for field in table.schema][:2] == ["string", "string"]
        assert table.to_pydict() == {**ROWS, "words": [["a", None]] * 40}


def test_a_full_disk_is_told_with_what_to_do(scratch: Path) -> None:
    def write(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"No space left on device.*TMPDIR"):
        mapped_bytes(write)
    assert list(scratch.iterdir()) == []


def test_what_goes_wrong_in_reading_is_not_taken_for_a_full_disk(scratch: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"text": ["a"]})
        raise pa.ArrowInvalid("row 2 is wrong")

    with pytest.raises(pa.ArrowInvalid, match="row 2"):
        mapped(pa.schema({"text": pa.string()}), broken())
    assert list(scratch.iterdir()) == []


def test_rows_come_in_the_order_asked_for_from_whichever_chunk() -> None:
    column = pa.chunked_array([["a", "b"], [], ["c"], ["d", "e"]])
    places = np.array([4, 0, 2, 2, 1])
    assert rows_at(column, places).to_pylist() == ["e", "a", "c", "c", "b"]
    assert rows_at(pa.table({"x": column}), places)["x"].to_pylist() == ["e", "a", "c", "c", "b"]
    assert rows_at(column, places[:0]).to_pylist() == []


def test_rows_are_taken_from_more_text_than_one_array_holds() -> None:
    long = pa.array(["x" * 2**27, "short"])
    column = pa.chunked_array([long] * 17)  # the same memory seventeen times: 2.1 GiB to Arrow
    assert rows_at(column, np.array([33, 1])).to_pylist() == ["short", "short"]
    assert len(list(pieces(column.slice(0, 4)))) == 4, "long rows come in small pieces"
    assert [len(piece) for piece in taken(column, np.array([1, 33]))] == [1, 1]


@pytest.mark.parametrize("size", [1, 7])
def test_records_and_rows_are_written_the_same_in_pieces(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"rows": list(range(20)), "parts": {"train": (1, 2, 3), "é": [], "none": None}, "x": "é"}
    path = tmp_path / "record.json"
    write_json(path, record)
    write_rows(pa.table(ROWS), tmp_path / "rows.csv")
    request = make_request({"source": str(tmp_path / "rows.csv")})
    prepared = prepare(request, tmp_path / "whole")
    whole = path.read_bytes()
    monkeypatch.setattr("automl.data.pieces.PIECE_ROWS", size)
    monkeypatch.setattr("automl.data.write.PIECE_ROWS", size)
    write_json(path, record)
    assert path.read_bytes() == whole
    again = prepare(request, tmp_path / "pieces")
    assert read_part(again.directory, "train").column(0).num_chunks > 1
    for name in ("split.json", "prepared.json", "cleaning.json"):
        assert (again.directory / name).read_bytes() == (prepared.directory / name).read_bytes()
    for ending in ("csv", "tsv", "jsonl", "parquet"):
        rows = pa.table(ROWS)
        write_rows(pieces(rows, size=size), tmp_path / f"again.{ending}")
        assert load_parts(str(tmp_path / f"again.{ending}"))["train"].table.to_pydict() == ROWS


@pytest.mark.parametrize("late", [{"label": 0.5}, {"extra": ["y"]}, {"label": "x"}], ids=str)
def test_a_large_file_of_json_is_read_in_parts_as_it_is_read_whole(
    late: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": text, "label": place} for place, text in enumerate(ROWS["text"])]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, late | {"text": "z"}]))
    whole = load_parts(str(path))["train"].table
    monkeypatch.setattr("automl.data.formats.json_rows._PART_BYTES", 200)
    parts = load_parts(str(path))["train"].table
    assert parts.to_pydict() == whole.to_pydict()
    assert parts.schema == whole.schema
