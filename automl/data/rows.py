"""A table and how it was read; and how a user may say that a file is to be read."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from automl.data.encoding import encoding_name
from automl.errors import DataError

NO_DELIMITER = "\x1f"
_MOST_NAMES = 10
DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe", " ": "blank"}
_SPELLED = {name: char for char, name in DELIMITER_NAMES.items()} | {"\\t": "\t", "space": " ", "none": NO_DELIMITER}


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a user says of a file, in the place of what would be found out. None: find it out.

    encoding: a name that Python knows. delimiter: one character, or its name (tab, comma, semicolon, pipe, blank;
    none for one column). header: whether the first row names the columns. sheet: a workbook's sheet, by name or by
    number from 1.
    """

    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    sheet: str | None = None

    def __post_init__(self) -> None:
        """Raises DataError where no file could be read so."""
        if self.encoding is not None:
            try:
                "".encode(codecs.lookup(self.encoding).name)
            except (LookupError, ValueError):
                raise DataError(
                    f"--encoding {self.encoding!r} is unknown",
                    "an encoding of text, such as utf-8, cp1252, mac-roman, utf-16 or shift-jis",
                    "Change --encoding, or leave it out",
                ) from None
        if self.delimiter is not None and len(self.separator or "") != 1:
            raise DataError(
                f"--delimiter {self.delimiter!r} has {len(self.delimiter)} characters",
                f"one character, or one of {', '.join(_SPELLED)}",
                "Change --delimiter, or leave it out",
            )

    @property
    def separator(self) -> str | None:
        return None if self.delimiter is None else _SPELLED.get(self.delimiter.lower(), self.delimiter)

    @property
    def given(self) -> tuple[str, ...]:
        """The names of those that the user said."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)


@dataclass(frozen=True, kw_only=True)
class ReadAs:
    """How a source was read.

    skipped_rows: numbers of rows that could not be read, counted from 0. notes: what was understood of it beyond its
    format, each with the option that says otherwise where there is one.
    """

    source: str
    format: str
    rows: int
    columns: int
    encoding: str | None = None
    byte_order_mark: bool = False
    delimiter: str | None = None
    quoting: str | None = None
    header: bool = True
    sheet: str | None = None
    files: int = 1
    skipped_rows: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "skipped_rows": list(self.skipped_rows[:100]),
            "skipped": len(self.skipped_rows),
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }

    def sentence(self) -> str:
        """One line: 'train.csv read as UTF-8, comma-separated, 5,452 rows, 3 columns'."""
        how = [encoding_name(self.encoding) + (" with BOM" if self.byte_order_mark else "")] if self.encoding else []
        how.append(f"{self.delimiter}-separated" if self.delimiter else self.format)
        if self.sheet is not None:
            how.append(f"sheet {self.sheet!r}")
        if self.quoting == "none":
            how.append("quotation marks taken as plain characters")
        if not self.header:
            how.append("no header (columns named column_1, ...)")
        if self.files > 1:
            how.append(f"{self.files:,} files")
        how += [f"{self.rows:,} rows", f"{self.columns:,} columns"]
        if self.skipped_rows:
            how.append(f"{len(self.skipped_rows):,} unreadable rows left out")
        if self.left_out:
            more = f" and {len(self.left_out) - _MOST_NAMES:,} more" if len(self.left_out) > _MOST_NAMES else ""
            how.append(f"not read: {', '.join(self.left_out[:_MOST_NAMES])}{more}")
        return f"{self.source} read as {'; '.join([', '.join(how), *self.notes])}"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One table and how it was read.

    folder: what the relative paths in it count from; None: the folder of its file. place: what keeps an unpacked
    archive on the disk for as long as the rows live. chosen: the numbers of the rows in their source, where these are
    not all that can be read of it.
    """

    table: pa.Table
    read_as: ReadAs
    folder: Path | None = None
    place: object | None = None
    chosen: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(cls, table: pa.Table, source: Path | str, **how: Any) -> Rows:
        """The rows of a source; how: fields of ReadAs."""
        read_as = ReadAs(source=str(source), rows=table.num_rows, columns=table.num_columns, **how)
        return cls(table=table, read_as=read_as, folder=source.parent if isinstance(source, Path) else None)

    def noting(self, *notes: str, left_out: Sequence[str] = ()) -> Rows:
        """The same rows with more to say of how they were read."""
        read_as = self.read_as
        left_out = tuple(dict.fromkeys((*read_as.left_out, *left_out)))
        notes = tuple(dict.fromkeys((*read_as.notes, *notes)))
        return replace(self, read_as=replace(read_as, notes=notes, left_out=left_out))

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Each row's number in its source, from 0; a row that could not be read keeps its number free."""
        if self.chosen is not None:
            return self.chosen
        skipped = list(self.read_as.skipped_rows)
        return np.delete(np.arange(self.table.num_rows + len(skipped), dtype=np.int64), skipped)
