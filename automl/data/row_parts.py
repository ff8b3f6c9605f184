"""The rows of a table by the part that each is of, where the table itself or the folders beside it say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from automl.data.columns import Codes, as_text
from automl.data.mapped import mapped
from automl.data.pieces import taken
from automl.data.rows import Rows

PARTS = ("train", "validation", "test")
_FIRST_ROWS = 100


def rows_of_part(train: Rows, codes: Codes, part: str, without: Sequence[str] = ()) -> Rows:
    """The rows of a part under their numbers in the source. codes: of every row, the place of its part in PARTS."""
    places = np.flatnonzero(codes == PARTS.index(part))
    table = train.table.drop_columns(list(without))
    batches = (batch for piece in taken(table, places) for batch in piece.to_batches())
    chosen = mapped(table.schema, batches)
    skipped = train.read_as.skipped_rows if part == "train" else ()
    read_as = replace(
        train.read_as, source=f"{train.read_as.source} [{part}]", rows=len(places), skipped_rows=skipped
    )
    return replace(train, table=chosen, read_as=read_as, chosen=train.numbers[places])


def parts_by_folder(rows: Rows, folder: Path, places: Mapping[str, Path]) -> dict[str, Rows]:
    """The rows of a table by the folder of the part that holds the file which each row names; `train` alone where
    all lie there, or where no column names files of these folders.

    folder: where the table lies. places: the folders of the parts, in it.
    """
    index = _Index(folder, places)
    for name in rows.table.column_names:
        column = rows.table[name]
        if not pa.types.is_nested(column.type) and (codes := index.codes_of(as_text(column))) is not None:
            counts = Counter(codes.tolist())
            if len(counts) < 2 or not counts[PARTS.index("train")]:
                break
            made = {part: rows_of_part(rows, codes, part) for n, part in enumerate(PARTS) if counts[n]}
            listed = ", ".join(f"{part} {counts[n]:,}" for n, part in enumerate(PARTS) if counts[n])
            return made | {"train": made["train"].noting(f"parts by the folders of the files in {name!r}: {listed}")}
    return {"train": rows}


class _Index:
    """Which part's folder holds a file, by its path, its name, and its name without ending."""

    def __init__(self, folder: Path, places: Mapping[str, Path]) -> None:
        self.parts: dict[str, set[int]] = {}
        for part, place in places.items():
            for file in place.rglob("*"):
                inner = file.relative_to(folder).as_posix()
                for known in (inner, inner.rpartition(".")[0], file.name, file.stem):
                    self.parts.setdefault(known, set()).add(PARTS.index(part))

    def codes_of(self, values: pa.ChunkedArray) -> Codes | None:
        """The part of every value; None where one names no file, or files of two parts."""
        if any(self.part_of(value) is None for value in values.slice(0, _FIRST_ROWS).to_pylist()):
            return None
        codes = [self.part_of(value) for value in values.to_pylist()]
        return None if None in codes else np.array(codes, np.int64)

    def part_of(self, value: str | None) -> int | None:
        pieces = (value or "").strip().replace("\\", "/").split("/")
        for start in range(len(pieces)):
            found = self.parts.get("/".join(pieces[start:]))
            if found is not None:
                return next(iter(found)) if len(found) == 1 else None
        return None
