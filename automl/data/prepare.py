"""A request's data, cleaned and split once, on disk for every contender."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from automl.config import READING, RunRequest
from automl.data.checks import SUPPORTED_TASKS, check_request
from automl.data.draft import Draft, draft, looked_at
from automl.data.folds import FOLDS, fold_parts, folds_table
from automl.data.kept import Kept
from automl.data.load import load_parts
from automl.data.partition import PARTS
from automl.data.rows import ReadOptions
from automl.data.slices import TEST_SLICES, slice_table, slices_sha256
from automl.data.split import combined_fingerprint, rows_sha256
from automl.data.split_column import Said, parts_by_column
from automl.data.write import write_arrow, write_json
from automl.types import PreparedData, Schema, Split

TEST_LABELS = "test_labels.arrow"
UNPACKED = "unpacked"


def prepare(
    request: RunRequest,
    directory: Path,
    known_tasks: Collection[str] = SUPPORTED_TASKS,
    home: Path | None = None,
    held: Mapping[str, object] = MappingProxyType({}),
) -> PreparedData:
    """The data of a run in its data folder: cleaned, split, the test's labels in a file of their own.

    known_tasks: those that a request may name. home: where the folder will lie in the end, if not at `directory`:
    pictures out of an archive are kept in it, and named as they will be. held: as in `load_parts`.
    Raises DataError or RequestError, and keeps nothing, where nothing can be learnt from the data.
    """
    check_request(request, known_tasks)
    unpacked, kept = directory / UNPACKED, False
    try:
        prepared, kept = _prepare(request, directory, home or directory, held)
    finally:
        if not kept:
            shutil.rmtree(unpacked, ignore_errors=True)
    return prepared


def _prepare(
    request: RunRequest, directory: Path, home: Path, held: Mapping[str, object]
) -> tuple[PreparedData, bool]:
    """The prepared data, and whether what was unpacked for it is still needed."""
    options = ReadOptions(**{name: getattr(request, name) for name in READING})
    loaded = load_parts(request.source, request.validation, request.test, options, directory / UNPACKED, held)
    parts = parts_by_column(loaded, Said.of(request))
    made = draft(looked_at(parts, request, directory / UNPACKED), request)
    pictured = made.seen.keyed["train"].content is not None
    if pictured:
        rows = {part: _rehoused(kept, made, directory, home) for part, kept in made.parted.rows.items()}
        made = replace(made, parted=replace(made.parted, rows=rows))
    prepared = _describe(directory, request, made)
    origin = parts[made.parted.origin["test"]]
    slices = slice_table(origin, request.slice, prepared.split.test) if request.slice else None
    _write(directory, prepared, made, slices)
    return prepared, pictured


def _rehoused(rows: Kept, made: Draft, directory: Path, home: Path) -> Kept:
    """The rows with the paths of unpacked pictures as they will be when the folder has come to its home."""
    column = made.seen.roles.inputs[0]
    before, after = str((directory / UNPACKED).absolute()), str((home / UNPACKED).absolute())
    paths = pc.replace_substring_regex(rows.table[column], f"^{re.escape(before)}", after.replace("\\", r"\\"))
    return replace(rows, table=rows.table.set_column(rows.table.column_names.index(column), column, paths))


def _describe(directory: Path, request: RunRequest, made: Draft) -> PreparedData:
    seen, parted, target = made.seen, made.parted, made.target
    roles, task = seen.roles, request.task or seen.roles.task
    assert task is not None
    counts = {part: len(parted.rows[part]) for part in PARTS}
    class_counts = parted.rows["train"].label_counts()
    numbers = {part: tuple(parted.rows[part].numbers.tolist()) for part in PARTS}
    split = Split(
        **numbers,
        strategy=parted.strategy,
        seed=request.seed,
        fingerprint=combined_fingerprint(parted.sha256 | fold_parts(parted.folds)),
    )
    listed = ", ".join(f"{part} {counts[part]:,}" for part in PARTS)
    assumptions = [rows.read_as.sentence() for rows in seen.parts.values()]
    assumptions += [
        f"target {target!r}: {roles.target_reason}",
        f"{seen.keyed['train'].medium.noun} {' and '.join(map(repr, roles.inputs))}: {roles.inputs_reason}",
        f"task {task}: {'named with --task' if request.task else roles.task_reason}",
        *(f.what for f in seen.findings if f.kind in ("deep_images", "alpha_shapes")),
        *made.notes,
        f"rows: {listed} ({parted.strategy})",
    ]
    return PreparedData(
        directory=directory,
        schema=Schema(
            task=task,
            inputs=roles.inputs,
            target=target,
            classes=tuple(sorted(class_counts)),
            levels=seen.levels,
            shaped=any(look.shaped for look in seen.looks.get("train", ())),
        ),
        split=split,
        # a column that is not an input leaks nothing into training
        findings=tuple(finding for finding in seen.findings if finding.kind != "target_leak"),
        counts=counts,
        class_counts=class_counts,
        assumptions=tuple(assumptions),
        cleaned=tuple(repair.sentence() for repair in made.repairs),
        folds=parted.folds,
        given=tuple(part for part in PARTS[1:] if part not in parted.cut),
    )


def _write(directory: Path, prepared: PreparedData, made: Draft, slices: pa.Table | None) -> None:
    """All files, or none: they are written beside their places and moved there together."""
    parted = made.parted
    directory.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=directory, prefix=".writing-"))
    try:
        for part, rows in parted.rows.items():
            columns = ["row", *rows.inputs, *(["label"] if part != "test" else [])]
            write_arrow(staging / f"{part}.arrow", (p.select(columns) for p in rows.pieces(f"writing {part} rows")))
        if parted.masks:
            write_arrow(staging / FOLDS, [folds_table(parted.masks)])
        test = parted.rows["test"]
        write_arrow(staging / TEST_LABELS, [pa.table({"row": test.numbers, "label": test.labels})])
        write_json(staging / "profile.json", made.seen.to_json())
        write_json(staging / "cleaning.json", {"repairs": [repair.to_json() for repair in made.repairs]})
        sealed = {} if slices is None else {"test_slices_sha256": slices_sha256(slices)}
        if slices is not None:
            write_arrow(staging / TEST_SLICES, [slices])
        write_json(staging / "split.json", _split_json(prepared, made) | sealed)
        write_json(staging / "prepared.json", _prepared_json(prepared))
        # prepared.json last: where it is, all the others are
        for file in sorted(staging.iterdir(), key=lambda path: path.name == "prepared.json"):
            file.replace(directory / file.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _split_json(prepared: PreparedData, made: Draft) -> dict[str, Any]:
    parted = made.parted
    parts = {
        part: {
            "rows": prepared.counts[part],
            "row_numbers": getattr(prepared.split, part),
            "source": made.seen.parts[parted.origin[part]].read_as.source,
            "sha256": parted.sha256[part],
        }
        for part in PARTS
    }
    test = parted.rows["test"]
    return {
        "strategy": prepared.split.strategy,
        "seed": prepared.split.seed,
        "fingerprint": prepared.split.fingerprint,
        "parts": parts,
        **({"folds": [fold.to_json() for fold in parted.folds]} if parted.folds else {}),
        "test_labels_sha256": rows_sha256(test.numbers, test.labels),
    }


def _prepared_json(prepared: PreparedData) -> dict[str, Any]:
    return {
        "schema": prepared.schema.to_json(),
        "split": prepared.split.__dict__,
        "findings": [finding.to_json() for finding in prepared.findings],
        "counts": dict(prepared.counts),
        "class_counts": dict(prepared.class_counts),
        "assumptions": list(prepared.assumptions),
        "cleaned": list(prepared.cleaned),
        "folds": [fold.to_json() for fold in prepared.folds],
        "given": list(prepared.given),
    }
