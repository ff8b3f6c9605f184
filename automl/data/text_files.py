"""Texts in files of their own: a folder of text files for each class, or one file of lines for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from automl.data.class_folders import LABEL, Wanted, read_class_folders
from automl.data.encoding import lines_of, read_text
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError

TEXT = "text"
ENDINGS = (".txt", ".text", ".md")
_TEXTS = Wanted(
    column="file",
    plural="text files",
    endings=ENDINGS,
    accepts=lambda path: path.suffix.lower() in ENDINGS,
    loose=False,
)


def read_class_texts(folder: Path, files: Sequence[Path], options: ReadOptions) -> dict[str, Rows]:
    """By part: `text` and `label`. Empty where the folder is neither of the two.

    Class folders: every text file is a row. Else, where all files of rows in the folder are text files, two or more:
    every line that is not blank is a row, and the file's name is its class.
    """
    found = read_class_folders(folder, _TEXTS)
    if found and LABEL in found["train"][0].column_names:
        return {
            part: _read_whole(table, f"{folder} [{part}]" if len(found) > 1 else str(folder), others, options)
            for part, (table, others) in found.items()
            if LABEL in table.column_names
        }
    if len(files) > 1 and all(file.suffix.lower() == ".txt" for file in files):
        return {"train": _read_lines(folder, files, options)}
    return {}


def _read_whole(table: pa.Table, source: str, others: int, options: ReadOptions) -> Rows:
    encodings: dict[str, int] = {}
    texts = []
    for name in table["file"].to_pylist():
        text, encoding = _text(Path(name), options)
        texts.append(text)
        encodings[encoding] = encodings.get(encoding, 0) + 1
    format = "a folder of text files for each class" + (f" ({others:,} other files left out)" if others else "")
    columns = {TEXT: pa.array(texts, pa.string()), LABEL: table[LABEL], "file": table["file"]}
    most = max(encodings, key=lambda name: encodings[name], default=None)
    return Rows.of(pa.table(columns), source, format=format, encoding=most, files=len(texts))


def _read_lines(folder: Path, files: Sequence[Path], options: ReadOptions) -> Rows:
    texts: list[str] = []
    labels: list[str] = []
    encoding = "utf-8"
    for file in files:
        text, encoding = _text(file, options)
        lines = [line for line in lines_of(text) if line.strip()]
        if not lines:
            raise DataError(f"{file} holds only blank lines", "one text a line", "Fill the file, or remove it")
        texts += lines
        labels += [file.stem] * len(lines)
    columns = {TEXT: pa.array(texts, pa.string()), LABEL: pa.array(labels, pa.string())}
    how = "one text file for each class, one text a line"
    return Rows.of(pa.table(columns), folder, format=how, encoding=encoding, files=len(files))


def _text(path: Path, options: ReadOptions) -> tuple[str, str]:
    """A file's text and its encoding; an empty file is an empty text, which is found to be missing later."""
    if path.stat().st_size == 0:
        return "", "utf-8"
    data, encoding, _ = read_text(path, options.encoding)
    return data.to_pybytes().decode("utf-8"), encoding
