"""Any supported file becomes a table whole, and what cannot be read says why."""

import json
import os
import re

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from automl.data.load import load, load_parts, read_rows
from automl.data.write import write_rows
from automl.errors import DataError

TABLE = pa.table({"text": ["a, b", 'say "hi"', "two\nlines"], "label": ["x", "y", "x"]})


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_what_is_written_is_read_back_the_same(tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    write_rows(TABLE, path)
    table, read_as = read_rows(str(path))
    assert table.to_pydict() == TABLE.to_pydict()
    assert read_as.rows == 3
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_rows_are_not_written_under_an_unknown_ending(tmp_path):
    with pytest.raises(DataError, match=r"\.xlsx"):
        write_rows(TABLE, tmp_path / "rows.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_arrow_and_feather_files_are_read(tmp_path):
    feather.write_feather(TABLE, tmp_path / "rows.feather")
    with (
        pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file,
        pa.ipc.new_stream(file, TABLE.schema) as writer,
    ):
        writer.write_table(TABLE)
    for name in ("rows.feather", "rows.arrow"):
        assert read_rows(str(tmp_path / name))[0].to_pydict() == TABLE.to_pydict()


def test_a_json_list_and_lines_of_mixed_types_are_read(tmp_path):
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": "one", "extra": {"deep": [1]}}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    for name in ("list.json", "lines.jsonl"):
        table, _ = read_rows(str(tmp_path / name))
        assert table["label"].to_pylist() == ["1", "one"]
        assert table.num_rows == 2


def test_a_saved_dataset_is_read_with_the_names_of_its_classes(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=features)
    rows.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": rows, "dev": rows.select([1])}).save_to_disk(str(tmp_path / "two"))
    assert load(str(tmp_path / "one"))["train"].table["label"].to_pylist() == ["neg", "pos", None]
    parts = load(str(tmp_path / "two"))
    assert list(parts) == ["train", "validation"]
    assert parts["validation"].table.to_pydict() == {"text": ["b"], "label": ["pos"]}


def test_a_damaged_saved_dataset_is_a_data_error(tmp_path):
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "gone.arrow"}]}')
    with pytest.raises(DataError, match="cannot be read"):
        load(str(tmp_path))


def test_a_hub_name_without_a_network_is_a_data_error(monkeypatch):
    pytest.importorskip("datasets")
    with pytest.raises(DataError, match="without a network, use a file"):
        load("someone/no-such-dataset-of-ours")


def test_a_folder_of_split_files_is_read_by_part(tmp_path):
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\nfrom {name},x\n")
    assert list(load(str(tmp_path))) == ["train", "validation", "test"]


def test_a_given_test_file_replaces_that_of_the_source(tmp_path):
    for name in ("train", "test", "mine"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\nfrom {name},x\n")
    parts = load_parts(str(tmp_path), test=str(tmp_path / "mine.csv"))
    assert parts["test"].table["text"].to_pylist() == ["from mine"]


def test_every_file_that_cannot_be_read_is_told_at_once(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match=r"2 things .*empty\.csv is empty.*no such file"):
        load_parts(str(tmp_path / "empty.csv"), test=str(tmp_path / "gone.csv"))


def test_a_missing_file_names_the_near_miss(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,label\na,b\n")
    with pytest.raises(DataError, match=r"Did you mean .*reviews\.csv"):
        load(str(tmp_path / "review.csv"))


BAD_FILES = {
    "empty.csv": (b"", "is empty"),
    "header.csv": (b"text,label\n", "only the header text, label"),
    "blank.csv": (b"\n\n\n", "only blank lines"),
    "picture.csv": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is a PNG image"),
    "noise.csv": (bytes((i * 7919 + (i >> 3) * 31) % 251 for i in range(4000)), "is a binary file"),
    "cut.parquet": (b"PAR1" + b"\x00" * 50, "cannot be read as Parquet"),
    "none.parquet": (b"", "is empty"),
    "rows.xyz": (b"text", "unknown ending '.xyz'"),
    "wrong.jsonl": (b'{"text": "a"}\n{"text": oops}\n', "line 2 "),
    "list.jsonl": (b"[1, 2]\n", "row 0 .*no object"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_an_error_in_three_parts(tmp_path, name):
    content, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(str(tmp_path / name))
    assert caught.value.found
    assert caught.value.expected
    assert caught.value.todo


def test_a_parquet_file_cut_in_half_is_a_data_error(tmp_path):
    path = tmp_path / "rows.parquet"
    parquet.write_table(TABLE, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="It may be cut short"):
        load(str(path))


def test_a_folder_without_data_and_a_pipe_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="is no dataset"):
        load(str(tmp_path))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        load(str(tmp_path / "pipe.csv"))


def test_how_a_file_was_read_is_one_sentence(tmp_path):
    (tmp_path / "rows.csv").write_bytes("\ufefftext;label\na;x\nb;y\n".encode())
    sentence = read_rows(str(tmp_path / "rows.csv"))[1].sentence()
    assert re.search(r"rows\.csv read as UTF-8 with BOM, semicolon-separated, 2 rows, 2 columns$", sentence)
