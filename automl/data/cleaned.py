"""`automl clean`: a dataset's files without what is wrong with them, and a record of every row that was touched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from automl.data.clean import Repair, clean
from automl.data.labels import read_labels
from automl.data.leakage import Keyed, key_parts
from automl.data.load import AS_FOUND, load_parts
from automl.data.pieces import taken
from automl.data.profile import Inspection, class_counts, inspect_parts, ordered
from automl.data.quality import PLACEHOLDER_KIND, find_placeholders
from automl.data.repairs import DEFAULT, mend
from automl.data.rows import ReadOptions
from automl.data.split_column import Said, parts_by_column
from automl.data.write import WRITABLE, write_rows
from automl.errors import DataError

RECORD = "cleaning.json"


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was written. rows: of each part, before and after. notes: what was understood of the source."""

    files: tuple[Path, ...]
    repairs: tuple[Repair, ...]
    rows: dict[str, tuple[int, int]]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "files": [str(file) for file in self.files],
            "notes": list(self.notes),
            "rows": {part: {"before": before, "after": after} for part, (before, after) in self.rows.items()},
            "repairs": [repair.to_json() for repair in self.repairs],
        }

    def to_text(self) -> str:
        lines = [*self.notes, *([repair.sentence() for repair in self.repairs] or ["nothing had to be repaired"])]
        lines += [f"{part}: {after:,} of {before:,} rows kept" for part, (before, after) in self.rows.items()]
        return "\n".join([*lines, *(f"written   {file}" for file in self.files)])


def write_cleaned(
    source: str,
    out: Path,
    *,
    target: str | None = None,
    text: Sequence[str] | None = None,
    image: str | None = None,
    test: str | None = None,
    validation: str | None = None,
    split: str | None = None,
    on: frozenset[str] = DEFAULT,
    options: ReadOptions = AS_FOUND,
) -> Cleaned:
    """Write the training rows repaired, given parts as they are, and cleaning.json, which tells every row touched.

    out: a folder that is not there yet; or a file, where there is only one part, whose record stands beside it.
    Raises DataError where the data cannot be read or `out` cannot be written.
    """
    alone = out.suffix.lower() in WRITABLE
    present = next((path for path in (out, _record(out)) if path.exists()), None)
    if present is not None:
        raise DataError(f"{present} is there already", "a new file or folder", "Choose another name with -o")
    named = {"--target": target, "--text": text, "--image": image}
    parts = parts_by_column(
        load_parts(source, validation, test, options),
        Said.over(named, split=split, test=test, validation=validation),
    )
    if alone and len(parts) > 1:
        raise DataError(
            f"{source} has {len(parts)} parts ({', '.join(parts)})",
            "a folder to write them to",
            "Give -o a folder's name, or take all rows as one part with --split none",
        )
    seen = inspect_parts(parts, target, text, image)
    classified = (seen.roles.task or "").endswith("classification")
    seen, mended = mended_inspection(seen, on)
    keep, removed = clean(seen.keyed, on, seen.near, classified)
    ending = out.suffix if alone else _ending(seen, parts["train"].table)
    files, rows = [], {}
    for name, part in seen.keyed.items():
        # a given part is written as it was: its rows are what scores stand for
        table = part.rows.table
        if seen.unpacked is not None:
            table = table.set_column(
                table.column_names.index(seen.unpacked), seen.unpacked, parts[name].table[seen.unpacked]
            )
        places = np.flatnonzero(keep["train"]) if name == "train" else np.arange(table.num_rows)
        file = out if alone else out / f"{name}{ending}"
        write_rows(taken(table, places, f"writing {name} rows"), file)
        files.append(file)
        rows[name] = (table.num_rows, len(places))
    done = Cleaned(
        files=(*files, _record(out)),
        repairs=tuple(repair for repair in mended + removed if repair.part == "train"),
        rows=rows,
        notes=seen.parts["train"].read_as.notes,
    )
    _record(out).write_text(json.dumps(done.to_json(), ensure_ascii=False, indent=1), encoding="utf-8")
    return done


def mended_inspection(seen: Inspection, on: frozenset[str]) -> tuple[Inspection, list[Repair]]:
    """The inspection with the training values mended, and all rows compared anew by what they hold now.

    Given parts stay as they are, but are compared as if they were mended: else a mended row would no longer be found
    to stand in the test. The labels of all parts are read as `on` says.
    """
    roles = seen.roles
    mended, repairs = {}, []
    for name, part in seen.keyed.items():
        mended[name], done = mend(part, roles.inputs, roles.target, on)
        repairs += [repair for repair in done if name == "train"]
    keyed = dict(seen.keyed)
    if any(mended[name].rows.table is not part.rows.table for name, part in seen.keyed.items()):
        if seen.keyed["train"].content is None:
            tables = {name: part.rows for name, part in mended.items()}
            again = key_parts(tables, seen.compared, roles.target)
            keyed = {name: replace(part, rows=seen.parts[name]) for name, part in again.items()}
        keyed["train"] = replace(keyed["train"], rows=mended["train"].rows)
    keyed = _relabelled(keyed, roles.target, on)
    for name, part in keyed.items():
        for change in part.changes:
            repairs.append(Repair(kind=change.kind, part=name, what=change.sentence, rows=part.numbers[change.rows]))
    train = keyed["train"]
    others = [finding for finding in seen.findings if finding.kind != PLACEHOLDER_KIND]
    return replace(
        seen,
        parts={**seen.parts, "train": train.rows},
        keyed=keyed,
        class_counts=class_counts(train) if seen.class_counts else {},
        findings=ordered([*others, *find_placeholders(keyed, roles.target)]),
    ), repairs


def _relabelled(keyed: dict[str, Keyed], target: str | None, on: frozenset[str]) -> dict[str, Keyed]:
    labelled = {name: part.rows.table[target] for name, part in keyed.items() if part.labels is not None}
    labels = read_labels(labelled, on)
    return {
        name: replace(part, labels=labels[name].values, changes=labels[name].changes) if name in labels else part
        for name, part in keyed.items()
    }


def _record(out: Path) -> Path:
    return out.with_suffix(f".{RECORD}") if out.suffix.lower() in WRITABLE else out / RECORD


def _ending(seen: Inspection, table: pa.Table) -> str:
    """As the source was, where that can be written; Parquet for images, lines of JSON for lists."""
    if seen.unpacked is not None and not pa.types.is_string(table[seen.unpacked].type):
        return ".parquet"
    if any(pa.types.is_nested(field.type) for field in seen.parts["train"].table.schema):
        return ".jsonl"
    ending = Path(seen.parts["train"].read_as.source.partition(" [")[0]).suffix.lower()
    return ending if ending in WRITABLE else ".csv"
