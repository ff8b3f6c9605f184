"""Any supported source as Arrow tables, with a record of how it was read; and tables written to files."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as parquet

from automl.data.delimited import read_delimited
from automl.data.encoding import encoding_name, read_text
from automl.data.hugging_face import is_hub_name, is_saved_dataset, read_hub, read_saved
from automl.data.json_rows import read_json
from automl.data.picture_folders import read_picture_folders
from automl.errors import DataError

_DELIMITED = (".csv", ".tsv", ".tab", ".txt")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather", ".ipc")
READABLE = (*_DELIMITED, *_JSON, *_PARQUET, *_ARROW)
WRITABLE = (".csv", ".tsv", ".jsonl", ".parquet")
_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True, kw_only=True)
class ReadAs:
    """How a source was read. skipped_rows: numbers of rows that could not be read, counted from 0."""

    source: str
    format: str
    rows: int
    columns: int
    encoding: str | None = None
    byte_order_mark: bool = False
    delimiter: str | None = None
    quoting: str | None = None
    header: bool = True
    skipped_rows: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "skipped_rows": list(self.skipped_rows[:100]),
            "skipped": len(self.skipped_rows),
        }

    def sentence(self) -> str:
        """One line: 'train.csv read as UTF-8, comma-separated, 5,452 rows, 3 columns'."""
        how = [encoding_name(self.encoding) + (" with BOM" if self.byte_order_mark else "")] if self.encoding else []
        how.append(f"{self.delimiter}-separated" if self.delimiter else self.format)
        if self.quoting == "none":
            how.append("quotation marks taken as plain characters")
        if not self.header:
            how.append("no header (columns named column_1, ...)")
        how += [f"{self.rows:,} rows", f"{self.columns:,} columns"]
        if self.skipped_rows:
            how.append(f"{len(self.skipped_rows):,} unreadable rows left out")
        return f"{self.source} read as {', '.join(how)}"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One table and how it was read."""

    table: pa.Table
    read_as: ReadAs

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Each row's number in its source, from 0; a row that could not be read keeps its number free."""
        skipped = list(self.read_as.skipped_rows)
        return np.delete(np.arange(self.table.num_rows + len(skipped), dtype=np.int64), skipped)


def read_rows(source: str) -> tuple[pa.Table, ReadAs]:
    """The one table of a source. Raises DataError when it cannot be read or holds several splits."""
    parts = load(source)
    if len(parts) > 1:
        raise DataError(
            f"{source} holds {len(parts)} splits ({', '.join(parts)})",
            "one table",
            "Name one of its files",
        )
    rows = next(iter(parts.values()))
    return rows.table, rows.read_as


def load(source: str) -> dict[str, Rows]:
    """The tables of a source by part: `train`, with `validation` and `test` where it has them.

    source: a file, a folder with train/validation/test files, a folder of pictures for each class (or such folders
    in train, validation and test), a saved Hugging Face dataset, or a hub name.
    Raises DataError when nothing can be read.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        parts = _read_folder(path)
    elif path.is_file():
        parts = {"train": _read_file(path)}
    elif path.exists():
        raise DataError(f"{source} is neither a file nor a folder", "a file of rows", "Check the path")
    elif path.suffix.lower() not in READABLE and is_hub_name(source):
        parts = _named_splits(read_hub(source), source, "hub dataset")
    else:
        raise _not_found(source, path)
    for part, rows in parts.items():
        _refuse_empty(rows, part)
    return parts


def load_parts(source: str, validation: str | None = None, test: str | None = None) -> dict[str, Rows]:
    """A source's parts, with given validation and test files in the place of its own.

    Raises DataError that tells of every file that cannot be read.
    """
    parts: dict[str, Rows] = {}
    problems: list[DataError] = []
    for part, name in (("train", source), ("validation", validation), ("test", test)):
        if name is None:
            continue
        try:
            if part == "train":
                parts = load(name)
            else:
                table, read_as = read_rows(name)
                parts[part] = Rows(table=table, read_as=read_as)
                _refuse_skipped(parts[part], part)
        except DataError as error:
            problems.append(error)
    raise_all(problems)
    return {part: parts[part] for part in ("train", "validation", "test") if part in parts}


def raise_all(problems: Sequence[DataError]) -> None:
    """Raise one error as it is, several as one that lists them all; none does nothing."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        listed = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
        raise DataError(
            f"{len(problems)} things are wrong with the data: {listed}", "", "Mend them all and run again"
        )


def _refuse_skipped(rows: Rows, part: str) -> None:
    skipped = rows.read_as.skipped_rows
    if skipped:
        raise DataError(
            f"{len(skipped):,} rows of {rows.read_as.source} cannot be read, first row {skipped[0]:,}",
            f"a {part} file in which every row can be read, for none of its rows is ever left out",
            "Mend these rows",
        )


def _not_found(source: str, path: Path) -> DataError:
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"no such file: {source}", f"a folder {folder} to look in", "Check the path")
    near = difflib.get_close_matches(path.name, sorted(os.listdir(folder))[:10_000], n=1)
    hint = f"Did you mean {folder / near[0]}?" if near else "Check the path"
    return DataError(f"no such file: {source}", "a file, a saved dataset, or a dataset's name on the hub", hint)


def _refuse_empty(rows: Rows, part: str) -> None:
    if rows.table.num_rows == 0 or rows.table.num_columns == 0:
        names = ", ".join(rows.table.column_names[:20])
        raise DataError(
            f"{rows.read_as.source} has no rows" + (f", only the header {names}" if names else ""),
            "a header and at least one row",
            "Check the file",
        )


def _read_file(path: Path) -> Rows:
    ending = path.suffix.lower()
    try:
        with path.open("rb") as file:
            head = file.read(8)
        if ending in _PARQUET or (head.startswith(b"PAR1") and ending not in _ARROW):
            return _read_binary(path, "Parquet", lambda: parquet.read_table(path, memory_map=True))
        if ending in _ARROW:
            return _read_binary(path, "Arrow", lambda: _read_arrow(path))
        if ending in _JSON:
            data, encoding, mark = read_text(path)
            table, name = read_json(data, path)
            return _rows(table, path, format=name, encoding=encoding, byte_order_mark=mark)
        if ending in _DELIMITED:
            return _read_delimited(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened: {error.strerror or error}",
            "a file that may be read",
            "Check its rights",
        ) from None
    raise DataError(
        f"{path} has the unknown ending {ending!r}" if ending else f"{path} has no ending",
        f"one of {', '.join(READABLE)}",
        "Rename the file to what it is, or export the table as CSV",
    )


def _read_binary(path: Path, name: str, read: Callable[[], pa.Table]) -> Rows:
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes)", f"a whole {name} file", "Check the file")
    try:
        table = read()
        table.validate()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} cannot be read as {name}: {reason}",
            f"a whole {name} file",
            "It may be cut short or be something else: copy or export it again",
        ) from None
    return _rows(table.replace_schema_metadata(None), path, format=name)


def _read_arrow(path: Path) -> pa.Table:
    try:
        return feather.read_table(path)
    except pa.ArrowInvalid:
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_stream(file).read_all()


def _rows(table: pa.Table, path: Path | str, **how: Any) -> Rows:
    read_as = ReadAs(source=str(path), rows=table.num_rows, columns=table.num_columns, **how)
    return Rows(table=table, read_as=read_as)


def _read_delimited(path: Path) -> Rows:
    data, encoding, mark = read_text(path)
    table, dialect, skipped = read_delimited(data, path)
    return _rows(
        table,
        path,
        format="delimited text",
        encoding=encoding,
        byte_order_mark=mark,
        delimiter=dialect.delimiter_name if table.num_columns > 1 else None,
        quoting="none" if dialect.quote is None and b'"' in data[: 1 << 20].to_pybytes() else "double",
        header=dialect.header,
        skipped_rows=skipped,
    )


def _read_folder(path: Path) -> dict[str, Rows]:
    if is_saved_dataset(path):
        return _named_splits(read_saved(path), str(path), "saved dataset")
    found: dict[str, Path] = {}
    for part, names in _SPLIT_NAMES.items():
        files = [p for p in sorted(path.iterdir()) if p.stem.lower() in names and p.suffix.lower() in READABLE]
        if len(files) > 1:
            raise DataError(
                f"{path} holds several {part} files: {', '.join(file.name for file in files)}",
                "one of each part",
                "Name the file, and give the others with --validation and --test",
            )
        if files:
            found[part] = files[0]
    if "train" not in found:
        names_there = [p.name for p in sorted(path.iterdir()) if p.suffix.lower() in READABLE][:5]
        if pictures := _read_pictures(path, tables=names_there):
            return pictures
        raise DataError(
            f"the folder {path} is no dataset",
            "a saved Hugging Face dataset, a train file with validation and test files beside it, or a folder of "
            "pictures for each class",
            f"Name a file in it: {', '.join(names_there)}" if names_there else "Name a file",
        )
    return {part: _read_file(file) for part, file in found.items()}


def _read_pictures(path: Path, tables: Sequence[str]) -> dict[str, Rows]:
    """The pictures of a folder by part; none where its tables tell more of them than its folders do."""
    found = read_picture_folders(path, _SPLIT_NAMES)
    labelled = "label" in found["train"][0].column_names if found else False
    if tables and (not labelled or len(found["train"][0]["label"].unique()) < 2):
        return {}
    parts = {}
    for part, (table, others) in found.items():
        format = "folders of pictures" + (f" ({others:,} other files left out)" if others else "")
        parts[part] = _rows(table, f"{path} [{part}]" if len(found) > 1 else path, format=format)
    return parts


def _named_splits(tables: dict[str, pa.Table], source: str, format: str) -> dict[str, Rows]:
    """Splits under the names train, validation and test; a lone split of another name is taken as train."""
    found: dict[str, Rows] = {}
    for part, names in _SPLIT_NAMES.items():
        name = next((name for name in names if name in tables), None)
        if name is not None:
            found[part] = _rows(tables[name], f"{source} [{name}]" if len(tables) > 1 else source, format=format)
    if not found and len(tables) == 1:
        return {"train": _rows(next(iter(tables.values())), source, format=format)}
    if "train" not in found:
        raise DataError(
            f"{source} has the splits {', '.join(tables) or 'none'}",
            "a split named train",
            "Name another dataset",
        )
    return found


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
