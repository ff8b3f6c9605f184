"""Tables written to files, never half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as parquet

from automl.errors import DataError

WRITABLE = (".csv", ".tsv", ".jsonl", ".parquet")


def write_rows(table: pa.Table, path: Path | str) -> None:
    """The table in a file, its format by the ending; never half a file.

    Raises DataError for another ending.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in WRITABLE:
        raise DataError(
            f"{path} ends in {ending!r}",
            f"one of {', '.join(WRITABLE)}",
            "Choose another name for the output",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if ending == ".parquet":
            parquet.write_table(table, part)
        elif ending == ".jsonl":
            with part.open("w", encoding="utf-8") as file:
                for batch in table.to_batches(max_chunksize=10_000):
                    for row in batch.to_pylist():
                        file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        else:
            delimiter = "\t" if ending == ".tsv" else ","
            options = pacsv.WriteOptions(delimiter=delimiter, quoting_style="needed")
            pacsv.write_csv(table, part, options)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
