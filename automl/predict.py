"""A finished run's models, ready to use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.data.load import one_table
from automl.data.rows import ReadOptions
from automl.data.write import write_rows
from automl.errors import DataError, RunFolderError
from automl.leaderboard.store import RunFolder
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa

MODEL_FACTS = "automl.json"
BATCH_ROWS = 1_024


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
            from automl.tasks.base import Task
            from automl.training.workers import trial_device

            family = get_part("automl.models", ModelFamily, self.facts["family"])  # type: ignore[type-abstract]
            task = get_part("automl.tasks", Task, self.facts["task"])  # type: ignore[type-abstract]
            model, processor = family.open(self.directory)
            self._loaded = family, task, model.to(trial_device()), processor
        return self._loaded

    def predict_proba(self, inputs: Sequence[Any] | pa.Table) -> NDArray[np.float32]:
        """Probabilities, shape (rows, classes), classes in the order of `schema.classes`.

        inputs: texts or paths of pictures; pairs of texts where the model takes two; or a table of the input columns.
        """
        table = self._as_table(inputs)
        parts = [
            self._predict_table(table.slice(start, BATCH_ROWS)) for start in range(0, table.num_rows, BATCH_ROWS)
        ]
        if not parts:
            return np.zeros((0, len(self.schema.classes)), dtype=np.float32)
        return np.concatenate(parts)

    def predict(self, inputs: Sequence[Any] | pa.Table) -> list[Any]:
        """The predicted class of every row."""
        _, task, *_ = self._load()
        answers: list[Any] = task.answers(self.predict_proba(inputs), self.schema)["prediction"]
        return answers

    def _as_table(self, inputs: Any) -> pa.Table:
        import pyarrow as pa

        names = self.schema.inputs
        if isinstance(inputs, pa.Table):
            missing = [name for name in names if name not in inputs.column_names]
            if missing:
                raise DataError(
                    f"the column {missing[0]!r} is missing",
                    f"the model reads {', '.join(map(repr, names))}; columns: {', '.join(inputs.column_names)}",
                    "Rename the column in the file",
                )
            columns = [inputs.column(name).cast(pa.string()).fill_null("") for name in names]
            return pa.table(dict(zip(names, columns, strict=True)))
        if isinstance(inputs, str):
            inputs = [inputs]
        rows = [row if isinstance(row, list | tuple) else (row,) for row in inputs]
        if any(len(row) != len(names) for row in rows):
            raise DataError(
                f"a row has {len({len(r) for r in rows} - {len(names)})} or more inputs of another number",
                f"{len(names)} texts a row ({', '.join(names)})",
                "Give pairs as tuples",
            )
        columns = [[str(row[place]) for row in rows] for place in range(len(names))]
        return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})

    def _predict_table(self, table: pa.Table) -> NDArray[np.float32]:
        from automl.models.blocks import autocast_dtype
        from automl.training.encoded import EncodedPart
        from automl.training.evaluation import predict_rows
        from automl.training.workers import trial_device

        family, task, model, processor = self._load()
        device, padding = trial_device(), family.padding(processor)
        limits = family.limits(str(self.directory), processor)
        part = EncodedPart.of(task.encode(table, self.schema, processor, limits))

        def make_batch(part: EncodedPart, indices: NDArray[np.int64]) -> dict[str, Any]:
            return {k: v.to(device) for k, v in task.collate(part.rows(indices), None, padding).items()}

        return predict_rows(model, part, task, make_batch, device, autocast_dtype(device))


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
    run: Path | str, data: str, out: Path | str, row: str | None = None, options: ReadOptions | None = None
) -> Path:
    """Write the rows of a file with two more columns, `prediction` and `probability`."""
    import pyarrow as pa

    model = model_of(run, row)
    rows = one_table(data, options or ReadOptions())
    _, task, *_ = model._load()
    table = task.located(rows.table, model.schema, rows.folder or Path(data).parent)
    answers = task.answers(model.predict_proba(table), model.schema)
    for name, values in answers.items():
        column = pa.array(values)
        place = table.column_names.index(name) if name in table.column_names else None
        table = table.append_column(name, column) if place is None else table.set_column(place, name, column)
    write_rows(table, Path(out))
    return Path(out)
