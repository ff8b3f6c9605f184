"""Data that a program holds: tables, data frames, lists of dicts and Hugging Face datasets, as the rows of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from automl.data.formats.delimited import column_names
from automl.data.hugging_face import name_classes, name_parts
from automl.data.mapped import settled
from automl.data.rows import Rows
from automl.errors import DataError

IN_MEMORY = " in memory"
ACCEPTED = (
    "a path, a pandas or Polars DataFrame, a pyarrow Table, a list of dicts, a dict of columns, or a datasets.Dataset"
)
_REST = "Convert it to one of these, or write it to a file and give its path"


def is_held(value: object) -> bool:
    """Whether a value is data itself, not the path or the name of data."""
    return not isinstance(value, str | Path)


def label_of(value: object) -> str:
    """What messages and records call data that has no path: 'DataFrame in memory'."""
    return f"{type(value).__name__}{IN_MEMORY}"


def told_apart(values: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, object]]:
    """What a request may name of each value that is not None (its path, or what it is called); and data in memory.

    Raises DataError in three parts where `train` is None.
    """
    if "train" in values and values["train"] is None:
        raise _no_table(None, "the data")
    there = {part: value for part, value in values.items() if value is not None}
    names = {part: label_of(value) if is_held(value) else str(value) for part, value in there.items()}
    return names, {part: value for part, value in there.items() if is_held(value)}


def held_parts(value: object, option: str) -> dict[str, Rows]:
    """The tables that a value holds, by part: `train` alone, or those of a DatasetDict or of a dict of tables.

    option: what the user gave it as, for messages. Raises DataError in three parts for what is no table.
    """
    source = label_of(value)
    if isinstance(value, Mapping) and value and all(_is_table(one) for one in value.values()):
        tables = {str(name): as_table(one, f"{option}[{name!r}]") for name, one in value.items()}
        return name_parts({name: settled(table) for name, table in tables.items()}, source, "tables")
    table = settled(as_table(value, option))
    return {"train": Rows.of(table, source, format=type(value).__name__)}


def as_table(value: Any, option: str, accepted: str = ACCEPTED) -> pa.Table:
    """A value's rows. accepted: what it may be, for the message.

    Raises DataError in three parts for what is no table, and for columns that hold no one type.
    """
    if isinstance(value, pa.Table):
        return value
    if hasattr(value, "with_format") and hasattr(value, "features"):
        return _of_dataset(value, option)
    if hasattr(value, "columns") and hasattr(value, "dtypes") and hasattr(value, "iloc"):
        return _of_frame(value, option)
    if hasattr(value, "__arrow_c_stream__"):
        return pa.table(value)
    if isinstance(value, Mapping):
        return _of_columns(value, option)
    if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
        return _of_rows(value, option)
    raise _no_table(value, option, accepted)


def _is_table(value: object) -> bool:
    """Whether a value of a dict is a table of its own, and no column of one."""
    if isinstance(value, pa.Table) or hasattr(value, "with_format") or hasattr(value, "iloc"):
        return not hasattr(value, "to_frame")  # a pandas Series is a column
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _no_table(value: Any, option: str, accepted: str = ACCEPTED) -> DataError:
    if isinstance(value, list | tuple):
        odd = next((place for place, row in enumerate(value) if not isinstance(row, Mapping)), None)
        held = "is an empty list" if odd is None else f"is a list whose item {odd} is {_kind(value[odd])}"
    else:
        held = f"is {_kind(value)}"
    return DataError(f"{option} {held}", accepted, _REST)


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _of_dataset(value: Any, option: str) -> pa.Table:
    """A Hugging Face dataset as its indices order it, class numbers replaced by their names."""
    try:
        table = value.with_format("arrow")[:]
    except (TypeError, NotImplementedError):  # an IterableDataset has no length
        raise DataError(
            f"{option} is {_kind(value)}, which has no length and can be read only once",
            "a datasets.Dataset",
            "Take its rows first: datasets.Dataset.from_list(list(dataset.take(N)))",
        ) from None
    return name_classes(table.replace_schema_metadata(None), value.features.to_dict())


def _of_frame(frame: Any, option: str) -> pa.Table:
    """A pandas DataFrame without its index; names are texts, and the second of one name is numbered."""
    names = column_names([_spelled(name) for name in frame.columns])
    columns = [_column(frame.iloc[:, place], name, option) for place, name in enumerate(names)]
    return pa.Table.from_arrays(columns, names=names)


def _spelled(name: object) -> str:
    return "_".join(str(level) for level in name) if isinstance(name, tuple) else str(name)


def _of_columns(columns: Mapping[Any, Any], option: str) -> pa.Table:
    if not columns:
        raise DataError(f"{option} is an empty dict", ACCEPTED, _REST)
    lengths = {}
    for name, column in columns.items():
        if isinstance(column, str | bytes) or not hasattr(column, "__len__"):
            raise DataError(
                f"{option} is a dict whose value of {name!r} is {_kind(column)}",
                "a list of values for every column",
                "Give one row as a list of one dict",
            )
        lengths[str(name)] = len(column)
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise DataError(f"the columns of {option} have different lengths: {listed}", "one value a row in each", _REST)
    return pa.table({str(name): _column(column, str(name), option) for name, column in columns.items()})


def _of_rows(rows: Sequence[Mapping[Any, Any]], option: str) -> pa.Table:
    """Every key that any row has is a column; rows without it have nothing there."""
    names = dict.fromkeys(str(name) for row in rows for name in row)
    spelled = [{str(name): value for name, value in row.items()} for row in rows]
    return pa.table({name: _column([row.get(name) for row in spelled], name, option) for name in names})


def _column(values: Any, name: str, option: str) -> pa.Array | pa.ChunkedArray:
    """Values as one Arrow column, NaN of pandas as missing. Raises DataError that names the value that fits not."""
    try:
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return values
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pass
    listed = list(values)
    kinds: dict[str, int] = {}
    for place, value in enumerate(listed):
        if value is not None and value == value:  # NaN is nothing
            kinds.setdefault(type(value).__name__, place)
    if set(kinds) <= {"int", "float", "str", "bool", "Decimal", "int64", "float64", "str_"} and "str" in kinds:
        # as a CSV file would hold it
        return pa.array([None if v is None or v != v else str(v) for v in listed], pa.string())
    told = ", ".join(f"{kind} (row {place})" for kind, place in list(kinds.items())[:4])
    raise DataError(
        f"column {name!r} of {option} holds values that no table can: {told}",
        "texts, numbers, dates, or lists of these, of one type in a column",
        f"Turn the column into texts, or leave it out; in pandas: frame[{name!r}].astype(str)",
    )
