"""What nodes without the driver's files have to fetch: the rows and every contender's weights, as bundles."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from automl.data.folds import FOLDS
from automl.data.prepared import read_part
from automl.data.write import write_arrow
from automl.leaderboard.kept import KeptRun
from automl.leaderboard.store import RunFolder, write_atomically
from automl.models.weights import CONFIG, PICKLE_WEIGHTS, PROCESSOR_FILES, SAFE_WEIGHTS, matching
from automl.registry import get_part
from automl.tasks.base import Task
from automl.types import Away, Checkpoint, Contender, Part, PreparedData

_PARTS: tuple[Part, ...] = ("train", "validation", "test")


def brought_away(
    folder: RunFolder, contenders: Sequence[Contender], prepared: PreparedData, kept: KeptRun
) -> dict[str, Away]:
    """By contender, where nodes find what its trainings read; what is not in the storage yet is put there.

    away.json keeps the bundles' keys, so that a machine which has neither the weights nor the pictures can go on.
    The labels of the test are in no bundle.
    """
    known: dict[str, Any] = json.loads(folder.away_file.read_text()) if folder.away_file.exists() else {}
    data = known.get("data") or _put_rows(prepared, kept)
    weights: dict[str, str] = dict(known.get("weights", {}))
    for contender in contenders:
        checkpoint = contender.checkpoint
        if checkpoint.revision not in weights:
            weights[checkpoint.revision] = kept.put_bundle(_weight_files(checkpoint))
    write_atomically(folder.away_file, json.dumps({"data": data, "weights": weights}, indent=1))
    return {
        one.name: Away(storage=kept.url, data=data, weights=weights[one.checkpoint.revision]) for one in contenders
    }


def _weight_files(checkpoint: Checkpoint) -> dict[str, Path]:
    folder = Path(checkpoint.path)
    found = matching(folder, SAFE_WEIGHTS) or matching(folder, PICKLE_WEIGHTS)
    return {file.name: file for file in (*found, *matching(folder, (CONFIG, *PROCESSOR_FILES)))}


def _put_rows(prepared: PreparedData, kept: KeptRun) -> str:
    tables = {part: read_part(prepared.directory, part) for part in _PARTS}
    files_of_rows: dict[str, Path] = {}
    task = get_part("automl.tasks", Task, prepared.schema.task)  # type: ignore[type-abstract]
    if (column := task.file_column(prepared.schema)) is not None:
        tables = {part: _with_files(table, column, files_of_rows) for part, table in tables.items()}
    with tempfile.TemporaryDirectory() as scratch:
        files: dict[str, Path] = {}
        for part, table in tables.items():
            files[f"{part}.arrow"] = Path(scratch) / f"{part}.arrow"
            write_arrow(files[f"{part}.arrow"], table)
        if (folds := prepared.directory / FOLDS).exists():
            files[FOLDS] = folds
        return kept.put_bundle({**files, **files_of_rows})


def _with_files(table: pa.Table, column: str, found: dict[str, Path]) -> pa.Table:
    """The rows with paths that count from the bundle's folder; the files that they name are added to `found`."""
    names = {str(path): name for name, path in found.items()}
    paths: list[str | None] = table.column(column).to_pylist()
    for path in paths:
        if path is not None and path not in names:
            names[path] = f"files/{len(names):08d}{Path(path).suffix}"
            found[names[path]] = Path(path)
    moved = pa.array([None if path is None else names[path] for path in paths], pa.string())
    return table.set_column(table.column_names.index(column), column, moved)


def weights_found(folder: RunFolder, contenders: Sequence[Contender], kept: KeptRun) -> Mapping[str, str]:
    """By revision, the folder of weights that this machine does not have where the run was begun with them."""
    if not folder.away_file.exists():
        return {}
    keys: dict[str, str] = json.loads(folder.away_file.read_text())["weights"]
    missing = {one.checkpoint.revision for one in contenders if not Path(one.checkpoint.path).is_dir()}
    return {revision: str(kept.bundle_here(keys[revision])) for revision in missing & keys.keys()}
