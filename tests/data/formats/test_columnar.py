"""Parquet and Arrow files: what their schema says beside the values, and bytes that are texts."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from automl.config import RunRequest
from automl.data.load import read_rows
from automl.data.prepare import prepare
from automl.data.profile import inspect
from automl.errors import DataError

CLASSES = {"_type": "ClassLabel", "names": ["neg", "pos"]}


def with_features(table: pa.Table, features: dict) -> pa.Table:
    """The table with the metadata that the library `datasets` writes into files."""
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("ending", ["parquet", "feather", "arrow"])
def test_class_names_of_a_hub_dataset_are_read_and_minus_one_is_missing(tmp_path: Path, ending: str) -> None:
    table = pa.table({"text": ["a", "b", "c"], "label": pa.array([1, -1, 0], pa.int64())})
    path = write(with_features(table, {"label": CLASSES, "gone": CLASSES}), tmp_path / f"rows.{ending}")
    read, read_as = read_rows(str(path))
    assert read["label"].to_pylist() == ["pos", None, "neg"]
    assert "class names of 'label' as the file describes them" in read_as.sentence()


def test_class_names_inside_lists_and_structs_are_read(tmp_path: Path) -> None:
    numbered = {"_type": "ClassLabel", "names": {"0": "O", "1": "B"}}
    table = pa.table(
        {
            "tags": pa.array([[0, 1], None, [], [1, -1]], pa.list_(pa.int64())),
            "old": pa.array([[0], [1], [], [1]], pa.list_(pa.int64())),
            "answer": pa.array([{"kind": 1, "at": 7}, None, {"kind": 0, "at": 8}, {"kind": -1, "at": 9}]),
        }
    ).slice(1)
    features = {
        "tags": {"_type": "List", "feature": numbered},
        "old": [numbered],
        "answer": {"kind": CLASSES, "at": {"_type": "Value", "dtype": "int64"}},
    }
    read, _ = read_rows(str(write(with_features(table, features), tmp_path / "rows.parquet")))
    assert read["tags"].to_pylist() == [None, [], ["B", None]]
    assert read["old"].to_pylist() == [["B"], [], ["B"]]
    assert read["answer"].to_pylist() == [None, {"kind": "neg", "at": 8}, {"kind": None, "at": 9}]


@pytest.mark.parametrize(
    "metadata", [b"", b"{", b"[1]", b'{"info": null}', b'{"info": {"features": {"label": [[]]}}}', b"\xff"]
)
def test_strange_metadata_changes_nothing(tmp_path: Path, metadata: bytes) -> None:
    table = pa.table({"text": ["a", "b"], "label": [1, -1]}).replace_schema_metadata({b"huggingface": metadata})
    assert read_rows(str(write(table, tmp_path / "rows.parquet")))[0]["label"].to_pylist() == [1, -1]


KINDS = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(5), pa.dictionary(pa.int32(), pa.binary())]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_bytes_that_are_texts_are_read_as_texts(tmp_path: Path, kind: pa.DataType, ending: str) -> None:
    table = pa.table({"text": pa.array([b"caf\xc3\xa9", b"BM is", None], pa.binary()), "label": ["x", "y", "x"]})
    values = table["text"].dictionary_encode() if pa.types.is_dictionary(kind) else table["text"].cast(kind)
    path = write(table.set_column(0, "text", values), tmp_path / f"rows.{ending}")
    read, read_as = read_rows(str(path))
    assert read["text"].to_pylist() == ["café", "BM is", None]
    assert read["text"].type == pa.string()
    assert "bytes of 'text' read as UTF-8 text" in read_as.sentence()


def test_bytes_that_are_neither_texts_nor_images_are_refused_where_they_are_needed(tmp_path: Path) -> None:
    texts = [f"un caf\xe9 {number * 7919 % 997}" for number in range(40)]
    table = pa.table({"text": [text.encode("latin-1") for text in texts], "label": ["x", "y"] * 20})
    path = write(table, tmp_path / "rows.parquet")
    assert inspect(str(path)).columns[0].kind == "bytes"
    with pytest.raises(DataError, match="column 'text' of .* holds bytes that are neither UTF-8 text nor images"):
        prepare(RunRequest(source=str(path)), tmp_path / "data")
    both = table.append_column("words", pa.array(texts))
    assert prepare(RunRequest(source=str(write(both, path))), tmp_path / "data").schema.inputs == ("words",)
    with pytest.raises(DataError, match="column 'text' of"):
        prepare(RunRequest(source=str(path), text="text"), tmp_path / "other")


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_columns_of_one_name_are_numbered(tmp_path: Path, ending: str) -> None:
    columns = [pa.array(["a"]), pa.array(["b"]), pa.array(["c"]), pa.array(["x"])]
    table = pa.Table.from_arrays(columns, names=["text", "text", "text_2", "label"])
    read, read_as = read_rows(str(write(table, tmp_path / f"rows.{ending}")))
    assert read.to_pylist() == [{"text": "a", "text_2": "b", "text_2_2": "c", "label": "x"}]
    assert "'text' comes again and is named 'text_2'" in read_as.sentence()


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_split_whose_labels_are_all_missing_is_left_aside_and_another_is_cut(tmp_path: Path, part: str) -> None:
    def of(word: str, labels: list[int]) -> pa.Table:
        texts = [f"{word} {number * 7919 % 997} words" for number in range(len(labels))]
        return with_features(pa.table({"text": texts, "label": labels}), {"label": CLASSES})

    write(of("some", [number % 2 for number in range(60)]), tmp_path / "train.parquet")
    path = write(of("other", [-1] * 20), tmp_path / f"{part}.parquet")
    data = prepare(RunRequest(source=str(tmp_path)), tmp_path / "data")
    assert data.schema.classes == ("neg", "pos")
    assert sum(data.counts.values()) == 60
    assert f"the source's own {part} split has no labels and is left aside" in data.assumptions
    assert [finding.kind for finding in inspect(str(tmp_path)).findings] == ["no_labels"]
    given = RunRequest(source=str(tmp_path / "train.parquet"), **{part: str(path)})
    with pytest.raises(DataError, match="has no value in the column 'label'"):
        prepare(given, tmp_path / "other")
