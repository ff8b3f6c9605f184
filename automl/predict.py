"""A finished run's models, ready to use."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from automl.data.columns import as_text
from automl.data.image_column import printed_inputs
from automl.data.in_memory import as_table
from automl.data.load import one_table
from automl.data.rows import ReadOptions, Rows
from automl.data.write import check_writable, write_rows
from automl.errors import DataError, RunFolderError
from automl.leaderboard.store import RunFolder
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa

MODEL_FACTS = "automl.json"
BATCH_ROWS = 1_024
_ACCEPTED = "a text, a list of texts (or of paths, or of pairs), or a table: a DataFrame, a list of dicts, a Dataset"


class FineTunedModel:
    """A shipped model. `predict` takes texts, pairs of texts or paths of pictures; loaded at the first call."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        facts_file = self.directory / MODEL_FACTS
        if not facts_file.exists():
            raise RunFolderError(
                f"{self.directory} holds no {MODEL_FACTS}",
                "a model that automl shipped",
                "Look in RUN/models/",
            )
        self.facts: dict[str, Any] = json.loads(facts_file.read_text(encoding="utf-8"))
        self.schema = Schema.from_json(self.facts["schema"])
        self._loaded: Any = None

    def _load(self) -> Any:
        if self._loaded is None:
            from automl.models.base import ModelFamily
            from automl.registry import get_part
            from automl.training.process import trial_device

            family = get_part("automl.models", ModelFamily, self.facts["family"])  # type: ignore[type-abstract]
            model, processor = family.open(self.directory)
            self._loaded = family, self._task, model.to(trial_device()), processor
        return self._loaded

    def __repr__(self) -> str:
        reads = " and ".join(map(repr, self.schema.inputs))
        return f"FineTunedModel({str(self.directory)!r}: {self.schema.task}, reads {reads})"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": None}  # weights are read again where it is unpacked

    def predict_proba(self, inputs: Any) -> NDArray[np.float32]:
        """Probabilities, shape (rows, classes), classes in the order of `schema.classes`.

        inputs: texts or paths of pictures; pairs of texts where the model takes two; or rows with the input columns
        by name: a DataFrame, a pyarrow Table, a list of dicts, a dict of columns, a datasets.Dataset.
        Raises DataError for rows that hold anything else.
        """
        rows = self._as_rows(inputs)  # image files that lay in the inputs live as long as these
        parts = [
            self._predict_table(rows.table.slice(start, BATCH_ROWS))
            for start in range(0, rows.table.num_rows, BATCH_ROWS)
        ]
        if not parts:
            return np.zeros((0, len(self.schema.classes)), dtype=np.float32)
        return np.concatenate(parts)

    def predict(self, inputs: Any) -> list[Any]:
        """The predicted class of every row."""
        _, task, *_ = self._load()
        answers: list[Any] = task.answers(self.predict_proba(inputs), self.schema)["prediction"]
        return answers

    @property
    def _task(self) -> Any:
        from automl.registry import get_part
        from automl.tasks.base import Task

        return get_part("automl.tasks", Task, self.facts["task"])  # type: ignore[type-abstract]

    def _as_rows(self, inputs: Any) -> Rows:
        """The input columns as texts, spelled as training read them, or as paths of images."""
        import pyarrow as pa

        names = self.schema.inputs
        if isinstance(inputs, str | Path):
            inputs = [inputs]
        if _is_column(inputs):
            return Rows.of(pa.table(_columns_of(list(inputs), names)), "the input", format="rows")
        if isinstance(inputs, Mapping) and inputs and all(isinstance(one, str | Path) for one in inputs.values()):
            inputs = [{name: str(one) for name, one in inputs.items()}]  # one row
        table = as_table(inputs, "the input", _ACCEPTED)
        if missing := [name for name in names if name not in table.column_names]:
            raise DataError(
                f"the column {missing[0]!r} is missing",
                f"the model reads {', '.join(map(repr, names))}; columns: {', '.join(table.column_names)}",
                "Rename the column",
            )
        given = Rows.of(table, "the input", format="a table")
        rows: Rows = self._task.brought(given, self.schema)[0]
        columns = [pc.fill_null(as_text(pa.chunked_array(rows.table[name])), "") for name in names]
        return replace(rows, table=pa.table(dict(zip(names, columns, strict=True))))

    def predict_readable(
        self, table: pa.Table, lost: Mapping[int, str] = MappingProxyType({})
    ) -> tuple[NDArray[np.float32], dict[int, str]]:
        """As `predict_proba`, but not a number where an input cannot be read; and why, by the row's place.

        lost: rows that are known to have no input, which are left out.
        """
        _, task, *_ = self._load()
        rows = self._as_rows(table).table
        found = np.full((rows.num_rows, len(self.schema.classes)), np.nan, np.float32)
        unreadable: dict[int, str] = {}
        there = [place for place in range(rows.num_rows) if place not in lost]
        for start in range(0, len(there), BATCH_ROWS):
            places = there[start : start + BATCH_ROWS]
            try:
                found[places] = self._predict_table(rows.take(places))
            except DataError:  # most batches hold no such row: they are not looked at twice
                problems = task.unreadable(rows.take(places), self.schema)
                if not problems:
                    raise
                unreadable |= {places[number]: problem for number, problem in problems.items()}
                if whole := [place for place in places if place not in unreadable]:
                    found[whole] = self._predict_table(rows.take(whole))
        return found, unreadable

    def _predict_table(self, table: pa.Table) -> NDArray[np.float32]:
        from automl.models.blocks import autocast_dtype
        from automl.training.encoded import EncodedPart
        from automl.training.evaluation import predict_rows
        from automl.training.process import batch_on_device, trial_device

        family, task, model, processor = self._load()
        device, padding = trial_device(), family.padding(processor)
        limits = family.limits(str(self.directory), processor)
        part = EncodedPart.of(task.encode(table, self.schema, processor, limits))

        def make_batch(part: EncodedPart, indices: NDArray[np.int64]) -> dict[str, Any]:
            return batch_on_device(task, part.rows(indices), None, padding, device)

        return predict_rows(model, part, task, make_batch, device, autocast_dtype(device))


def _is_column(inputs: Any) -> bool:
    """Whether inputs are single rows one after the other, and no table of named columns."""
    if isinstance(inputs, list | tuple):
        return not inputs or not all(isinstance(row, Mapping) for row in inputs)
    # a numpy array, or a column of a data frame
    return hasattr(inputs, "tolist") and not hasattr(inputs, "columns")


def _columns_of(rows: Sequence[Any], names: Sequence[str]) -> dict[str, list[str]]:
    """Single texts or paths, or tuples of one for each name, by column. Raises DataError for what is neither."""
    wanted = f"{len(names)} texts a row ({', '.join(names)})" if len(names) > 1 else "a text or a path a row"
    told = [[row] if isinstance(row, str | Path) else row for row in rows]
    for place, row in enumerate(told):
        fits = isinstance(row, list | tuple) and len(row) == len(names)
        if not fits or not all(isinstance(value, str | Path) for value in row):
            value = next((one for one in row if not isinstance(one, str | Path)), row) if fits else rows[place]
            found = f"row {place} is {value!r:.60}, {_kind(value, len(names))}"
            raise DataError(found, wanted, "Turn it into text, or leave the row out; tables: a DataFrame or dicts")
    return {name: [str(row[place]) for row in told] for place, name in enumerate(names)}


def _kind(value: object, wanted: int) -> str:
    if isinstance(value, list | tuple) and len(value) != wanted:
        return f"{len(value)} values"
    return f"of type {type(value).__name__}"


def model_of(run: Path | str, row: str | None = None) -> FineTunedModel:
    """The model of a row of a finished run; the best contender's where none is named."""
    folder = RunFolder.existing(run)
    if not folder.leaderboard_json.exists():
        raise RunFolderError(f"{folder.path} has no board yet", "a finished run", f"automl resume {folder.path}")
    rows = json.loads(folder.leaderboard_json.read_text(encoding="utf-8"))["rows"]
    usable = {r["contender"]: r["model_dir"] for r in rows if r["model_dir"]}
    if not usable:
        raise RunFolderError(f"{folder.path} shipped no model", "a contender that did not fail", "Read its report")
    if row is not None and row not in usable:
        raise RunFolderError(f"{row!r} is no row with a model", f"one of {', '.join(usable)}", "Choose with --row")
    return FineTunedModel(folder.path / usable[row or next(iter(usable))])


def predict_file(
    run: Path | str,
    data: str,
    out: Path | str,
    row: str | None = None,
    options: ReadOptions | None = None,
    tell: Callable[[str], None] = warnings.warn,
) -> Path:
    """Write the rows of a file with two more columns, `prediction` and `probability`.

    A row whose input cannot be read has no answer, which is told. Raises DataError where no row can be.
    """
    out = Path(os.path.expanduser(out))
    check_writable(out)
    model = model_of(run, row)
    rows = one_table(data, options or ReadOptions())
    _, task, *_ = model._load()
    ready, lost = task.brought(rows, model.schema)
    found, unreadable = model.predict_readable(ready.table, lost)
    lost = unreadable | lost
    if lost:
        tell(_refuse_all_lost(lost, rows, ready, model.schema.inputs[0]))
    answered = [place for place in range(rows.table.num_rows) if place not in lost]
    table = printed_inputs(rows, model.schema.inputs[0], as_bytes=out.suffix.lower() == ".parquet")
    for name, values in task.answers(found[answered], model.schema).items():
        column = _spread(values, answered, rows.table.num_rows)
        place = table.column_names.index(name) if name in table.column_names else None
        table = table.append_column(name, column) if place is None else table.set_column(place, name, column)
    write_rows(table, out)
    return out


def _spread(values: Sequence[Any], places: Sequence[int], rows: int) -> pa.Array:
    """A column with the values at their places, and nothing at the others."""
    import pyarrow as pa

    column: list[Any] = [None] * rows
    for place, value in zip(places, values, strict=True):
        column[place] = value
    return pa.array(column)


def _refuse_all_lost(lost: Mapping[int, str], rows: Rows, ready: Rows, column: str) -> str:
    """What is said of rows without an answer. Raises DataError where these are all."""
    place = min(lost)
    first = f"{ready.table[column][place]} ({lost[place]})"
    if len(lost) == rows.table.num_rows:
        raise DataError(
            f"not one of the {len(lost):,} inputs of {rows.read_as.source} can be read, the first: {first}",
            "at least one row with an input that can be read",
            "Check the files",
        )
    listed = ", ".join(f"{number:,}" for number in sorted(lost)[:10]) + (", ..." if len(lost) > 10 else "")
    return (
        f"{len(lost):,} of {rows.table.num_rows:,} inputs cannot be read and have no answer: rows {listed}; "
        f"the first: {first}"
    )
