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
from automl.data.columns import as_labels
from automl.data.leakage import key_parts
from automl.data.load import AS_FOUND, load_parts
from automl.data.pieces import taken
from automl.data.profile import Inspection, inspect_parts
from automl.data.repairs import DEFAULT, mend
from automl.data.rows import ReadOptions
from automl.data.split_column import Said, parts_by_column
from automl.data.write import WRITABLE, write_rows
from automl.errors import DataError

RECORD = "cleaning.json"


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was written. rows: of each part, before and after."""

    files: tuple[Path, ...]
    repairs: tuple[Repair, ...]
    rows: dict[str, tuple[int, int]]

    def to_json(self) -> dict[str, Any]:
        return {
            "files": [str(file) for file in self.files],
            "rows": {part: {"before": before, "after": after} for part, (before, after) in self.rows.items()},
            "repairs": [repair.to_json() for repair in self.repairs],
        }

    def to_text(self) -> str:
        lines = [repair.sentence() for repair in self.repairs] or ["nothing had to be repaired"]
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
        files=(*files, _record(out)), repairs=(*mended, *(r for r in removed if r.part == "train")), rows=rows
    )
    _record(out).write_text(json.dumps(done.to_json(), ensure_ascii=False, indent=1), encoding="utf-8")
    return done


def mended_inspection(seen: Inspection, on: frozenset[str]) -> tuple[Inspection, list[Repair]]:
    """The inspection with the training values mended, and all rows compared anew by what they hold now.

    Given parts stay as they are, but are compared as if they were mended: else a mended row would no longer be found
    to stand in the test.
    """
    roles = seen.roles
    mended, repairs = {}, []
    for name, part in seen.keyed.items():
        mended[name], done = mend(part, roles.inputs, roles.target, on)
        repairs += [repair for repair in done if name == "train"]
    if all(mended[name].rows.table is part.rows.table for name, part in seen.keyed.items()):
        return seen, []
    tables = {name: part.rows for name, part in mended.items()}
    keyed = (
        dict(seen.keyed)
        if seen.keyed["train"].content is not None
        else key_parts(tables, seen.compared, roles.target)
    )
    keyed = {
        name: replace(part, rows=seen.parts[name], labels=seen.keyed[name].labels) for name, part in keyed.items()
    }
    train = mended["train"].rows
    labels = seen.keyed["train"].labels if roles.target is None else as_labels(train.table[roles.target])
    keyed["train"] = replace(keyed["train"], rows=train, labels=labels)
    return replace(seen, parts={**seen.parts, "train": train}, keyed=keyed), repairs


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
