"""Data that a program holds are read as a file of the same rows is, and what is no table is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from automl.data.in_memory import as_table, held_parts, told_apart
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part
from automl.data.profile import inspect
from automl.errors import DataError
from tests.toys import messages, write_csv

ROWS = [{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}]


@pytest.mark.parametrize(
    "value",
    [
        ROWS,
        {"text": ["a b", "c d"], "label": ["x", "y"]},
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS).astype({"label": "category"}),
        pd.DataFrame(ROWS, index=["one", "two"]),
        pa.Table.from_pylist(ROWS),
    ],
    ids=["dicts", "columns", "frame", "category", "index", "arrow"],
)
def test_each_kind_of_table_gives_the_same_rows(value: Any) -> None:
    (rows,) = held_parts(value, "the data").values()
    assert rows.table.to_pylist() == ROWS
    assert rows.read_as.source == f"{type(value).__name__} in memory"


def test_a_dataset_keeps_its_order_its_class_names_and_its_missing_labels() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    whole = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=features)
    table = as_table(whole.select([2, 1]), "the data")
    assert table.to_pylist() == [{"text": "c", "label": None}, {"text": "b", "label": "pos"}]
    parts = held_parts(datasets.DatasetDict(train=whole, test=whole.select([0])), "the data")
    assert {part: rows.table.num_rows for part, rows in parts.items()} == {"train": 3, "test": 1}


def test_a_dict_of_frames_holds_parts() -> None:
    parts = held_parts({"train": pd.DataFrame(ROWS), "dev": pd.DataFrame(ROWS[:1])}, "the data")
    assert {part: rows.table.num_rows for part, rows in parts.items()} == {"train": 2, "validation": 1}


def test_a_key_that_only_later_rows_have_is_a_column() -> None:
    table = as_table([{"text": "a"}, {"text": "b", "label": "x"}], "the data")
    assert table.to_pylist() == [{"text": "a", "label": None}, {"text": "b", "label": "x"}]


def test_names_that_are_no_texts_or_stand_twice_are_spelled_apart() -> None:
    assert as_table(pd.DataFrame([["a", 1]]), "the data").column_names == ["0", "1"]
    assert as_table(pd.DataFrame([["a", "b"]], columns=["text", "text"]), "the data").column_names == [
        "text",
        "text_2",
    ]


def test_a_column_of_texts_and_numbers_is_read_as_a_file_of_it_would_be() -> None:
    table = as_table(pd.DataFrame({"label": ["x", 1, None]}), "the data")
    assert table["label"].to_pylist() == ["x", "1", None]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "the data is None"),
        (5, "the data is of type int"),
        (b"x", "the data is of type bytes"),
        ([], "the data is an empty list"),
        (["a", "b"], "the data is a list whose item 0 is of type str"),
        ([ROWS[0], "b"], "the data is a list whose item 1 is of type str"),
        ({}, "the data is an empty dict"),
        ({"text": "a"}, "whose value of 'text' is of type str"),
        ({"text": ["a"], "label": ["x", "y"]}, "different lengths: 'text' 1, 'label' 2"),
        ([{"text": "a"}, {"text": object()}], r"column 'text' of the data .* str \(row 0\), object \(row 1\)"),
        ((row for row in ROWS), "the data is of type generator"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_three_parts(value: Any, found: str) -> None:
    with pytest.raises(DataError, match=found) as problem:
        held_parts(value, "the data")
    assert problem.value.expected
    assert problem.value.todo


def test_nothing_is_no_source() -> None:
    with pytest.raises(DataError, match="the data is None"):
        told_apart({"train": None, "test": None})


def test_a_frame_is_prepared_as_the_file_of_its_rows_is(tmp_path: Path) -> None:
    from automl.config import make_request

    rows = messages(90)
    file = write_csv(tmp_path / "rows.csv", rows)
    options = {"target": "label", "text": "text"}
    prepare(make_request({"source": str(file), **options}), tmp_path / "file")
    frame = pd.DataFrame(rows, columns=["text", "label"])
    request = make_request({"source": "DataFrame in memory", **options})
    prepare(request, tmp_path / "memory", held={"train": frame})
    told = [load_prepared(tmp_path / name) for name in ("file", "memory")]
    assert told[0].split.fingerprint == told[1].split.fingerprint
    assert read_part(tmp_path / "file", "train").equals(read_part(tmp_path / "memory", "train"))


def test_inspect_takes_a_frame_and_a_test_of_its_own() -> None:
    frame = pd.DataFrame(messages(60), columns=["text", "label"])
    seen = inspect(frame, test=frame.head(12))
    assert seen.roles.target == "label"
    assert seen.parts["test"].table.num_rows == 12
    assert len(repr(seen)) < 5_000
