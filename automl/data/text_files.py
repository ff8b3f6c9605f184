"""Texts in files of their own: a folder of text files for each class, or one file of lines for each class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from automl.data.archives import ENDINGS as PACKED_ENDINGS
from automl.data.archives import plain_name
from automl.data.class_folders import LABEL, OTHER_ENDINGS, Found, Wanted, read_class_folders
from automl.data.encoding import binary_kind, lines_of, read_text
from automl.data.formats.base import endings
from automl.data.images import PHOTO_ENDINGS
from automl.data.part_names import part_of, words_of
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError

TEXT = "text"
_NOTES = frozenset("readme license licence changelog citation notice requirements classes metadata".split())
_HEAD_BYTES = 1 << 12
ENDINGS = (".txt", ".text", ".md")
_NO_TEXTS = (*OTHER_ENDINGS, *PHOTO_ENDINGS, *PACKED_ENDINGS)
TEXTS = Wanted(
    column="file",
    plural="text files",
    endings=ENDINGS,
    accepts=lambda path: path.suffix.lower() in ENDINGS,
)


def read_class_texts(places: Mapping[str, Path], folder: Path, options: ReadOptions) -> dict[str, Rows]:
    """By part: `text` and `label`, where the folder of the training rows has class folders; else empty.

    Every text file is a row; a part without class folders has no labels, and is not read.
    """
    train = read_class_folders(places["train"], TEXTS)
    if not train.classes:
        return {}
    known = train.classes
    found = {part: train if part == "train" else read_class_folders(p, TEXTS, known) for part, p in places.items()}
    return {
        part: _read_whole(one, f"{folder} [{part}]" if len(found) > 1 else str(folder), options)
        for part, one in found.items()
        if one.classes
    }


def read_class_lines(places: Mapping[str, Path], folder: Path, options: ReadOptions) -> dict[str, Rows]:
    """By part: `text` and `label`, where every line of a file is a row, and the file's name is its class.

    Empty where the files of the training folder are not a text file for each class, two or more: pos.txt and neg.txt,
    or reviews.pos and reviews.neg.
    """
    files = {part: files_by_class(place) for part, place in places.items()}
    if len(files["train"]) < 2:
        return {}
    return {
        part: _read_lines(f"{folder} [{part}]" if len(files) > 1 else str(folder), held, options)
        for part, held in files.items()
        if held
    }


def files_by_class(folder: Path) -> dict[str, Path]:
    """The file of each class; empty where there are other files of rows too, or the names are those of parts."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not is_note(path)]
    rows = [path for path in files if plain_name(path).suffix.lower() in endings()]
    others = [path for path in files if path.suffix and path.suffix.lower() not in (*endings(), *_NO_TEXTS)]
    if rows and all(path.suffix.lower() == ".txt" for path in rows):
        found = {path.stem: path for path in rows}
    elif not rows and len({path.stem for path in others}) == 1 and not any(map(_is_binary, others)):
        found = {path.suffix[1:]: path for path in others}
    else:
        return {}
    return {} if any(part_of(name) for name in found) else found


def is_note(path: Path) -> bool:
    """Whether a file tells of the rows beside it and holds none: hidden, or called README and the like."""
    return path.name.startswith(".") or plain_name(path).stem.lower() in _NOTES or "readme" in words_of(path.name)


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return binary_kind(file.read(_HEAD_BYTES)) is not None


def _read_whole(found: Found, source: str, options: ReadOptions) -> Rows:
    table, others = found.table, found.others
    encodings: dict[str, int] = {}
    texts = []
    for name in table["file"].to_pylist():
        text, encoding = _text(Path(name), options)
        texts.append(text)
        encodings[encoding] = encodings.get(encoding, 0) + 1
    format = "a folder of text files for each class" + (f" ({others:,} other files left out)" if others else "")
    columns = {TEXT: pa.array(texts, pa.string()), LABEL: table[LABEL], "file": table["file"]}
    most = max(encodings, key=lambda name: encodings[name], default=None)
    return Rows.of(pa.table(columns), source, format=format, encoding=most, files=len(texts), left_out=found.aside)


def _read_lines(source: str, files: Mapping[str, Path], options: ReadOptions) -> Rows:
    texts: list[str] = []
    labels: list[str] = []
    encoding = "utf-8"
    for label, file in files.items():
        text, encoding = _text(file, options)
        lines = [line for line in lines_of(text) if line.strip()]
        if not lines:
            raise DataError(f"{file} holds only blank lines", "one text a line", "Fill the file, or remove it")
        texts += lines
        labels += [label] * len(lines)
    columns = {TEXT: pa.array(texts, pa.string()), LABEL: pa.array(labels, pa.string())}
    how = "one text file for each class, one text a line"
    return Rows.of(pa.table(columns), source, format=how, encoding=encoding, files=len(files))


def _text(path: Path, options: ReadOptions) -> tuple[str, str]:
    """A file's text and its encoding; an empty file is an empty text, which is found to be missing later."""
    if path.stat().st_size == 0:
        return "", "utf-8"
    data, encoding, _ = read_text(path, options.encoding)
    return data.to_pybytes().decode("utf-8"), encoding
