"""What `prepare` left in a data folder, read back. Light to import: a training needs no more of the data room."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from automl.data.folds import read_fold
from automl.types import Finding, Fold, Part, PreparedData, Schema, Split


def load_prepared(directory: Path) -> PreparedData:
    """What `prepare` returned, read back. Raises FileNotFoundError where it never finished."""
    values = json.loads((directory / "prepared.json").read_text(encoding="utf-8"))
    split = values["split"] | {part: tuple(values["split"][part]) for part in ("train", "validation", "test")}
    findings = tuple(Finding.from_json(value | {"rows": tuple(value["rows"])}) for value in values["findings"])
    return PreparedData(
        directory=directory,
        schema=Schema.from_json(values["schema"]),
        split=Split(**split),
        findings=findings,
        counts=values["counts"],
        class_counts=values["class_counts"],
        assumptions=tuple(values["assumptions"]),
        cleaned=tuple(values["cleaned"]),
        folds=tuple(Fold.from_json(value) for value in values.get("folds", ())),
        given=tuple(values.get("given", ())),
    )


def read_part(directory: Path, part: Part) -> pa.Table:
    """A part's rows, memory-mapped: `row`, the inputs, and, but for the test, `label`."""
    if part == "pool":
        return pa.concat_tables([read_part(directory, "train"), read_part(directory, "validation")])
    with pa.memory_map(str(directory / f"{part}.arrow")) as file:
        return pa.ipc.open_file(file).read_all()


def read_training_rows(directory: Path, fold: int | None) -> pa.Table:
    """The rows that a training learns from, in their order: those of its cut, or of the only one (None)."""
    if fold is None:
        return read_part(directory, "train")
    return read_part(directory, "pool").filter(pa.array(~read_fold(directory, fold)))
