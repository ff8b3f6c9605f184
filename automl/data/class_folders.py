"""Folders of files as tables: a folder for each class, or parts (train, validation, test) of such folders."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from automl.data.images import PHOTO_ENDINGS
from automl.data.part_words import PART_NAMES
from automl.errors import DataError

LABEL = "label"
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_OTHER_ENDINGS = frozenset(
    {".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".html", ".yaml", ".db", ".ini"}
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The files that are looked for. column: of their paths. accepts: whether a file is one of them.

    loose: whether such files right in a folder are its rows, as pictures are; else they are notes beside the data.
    """

    column: str
    plural: str
    endings: tuple[str, ...]
    accepts: Callable[[Path], bool]
    loose: bool


def read_class_folders(folder: Path, wanted: Wanted) -> dict[str, tuple[pa.Table, int]]:
    """By part: a table of absolute paths and class names (`label`), and how many files were none of those wanted.

    A class is named by its folder, whatever folders lie below it. Files right in the folder make a table without
    labels. Empty where there are none. Raises DataError for a loop of links, an empty class folder in the training
    part, or two folders of one part.
    """
    children = _folders(folder)
    parts = _parts(folder, children, wanted)
    if parts:
        found = {part: _read_part(place, part, wanted) for part, place in parts.items()}
        return found if any(table.num_rows for table, _ in found.values()) else {}
    table, others = _read_part(folder, "train", wanted)
    return {"train": (table, others)} if table.num_rows else {}


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out."""
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith((".", "__")):
            continue
        try:
            os.stat(entry.path)
        except OSError as error:
            if error.errno == errno.ELOOP and Path(entry.name).suffix.lower() not in PHOTO_ENDINGS:
                raise _loop(Path(entry.path)) from None
            continue
        if entry.is_dir():
            found.append(Path(entry.path))
    return found


def _loop(path: Path) -> DataError:
    return DataError(
        f"{path} is a link that leads back to itself", "folders that end somewhere", "Remove the link, and run again"
    )


def _parts(folder: Path, children: Sequence[Path], wanted: Wanted) -> dict[str, Path]:
    """The folders of the parts, where a train folder holds class folders; else the children are classes."""
    parts: dict[str, Path] = {}
    for part, names in PART_NAMES.items():
        found = [child for child in children if child.name.lower() in names]
        if len(found) > 1:
            listed = ", ".join(child.name for child in found)
            raise DataError(f"{folder} holds several {part} folders: {listed}", "one of each part", "Remove one")
        if found:
            parts[part] = found[0]
    # a class may be called "train" too: then it holds pictures, not folders of pictures
    if "train" in parts and _folders(parts["train"]) and not (wanted.loose and _own_files(parts["train"], wanted)):
        return parts
    return {}


def _own_files(folder: Path, wanted: Wanted) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in wanted.endings]


def _read_part(folder: Path, part: str, wanted: Wanted) -> tuple[pa.Table, int]:
    paths: list[str] = []
    labels: list[str] = []
    others, empty = 0, []
    classes = _folders(folder)
    for place in classes:
        before = len(paths)
        for path in _files(place, ()):
            if wanted.accepts(path):
                paths.append(_name(path))
                labels.append(place.name)
            else:
                others += 1
        if len(paths) == before:
            empty.append(place.name)
    if not paths:
        loose = [_name(path) for path in _own_files(folder, wanted)]
        return pa.table({wanted.column: pa.array(loose, pa.string())}), others
    if empty and part == "train":
        raise DataError(
            f"{len(empty)} class folders of {folder} hold no {wanted.plural}: {', '.join(empty[:10])}",
            f"files that end in {' '.join(wanted.endings)} in every class folder",
            f"Add {wanted.plural}, or remove these folders",
        )
    return pa.table({wanted.column: pa.array(paths, pa.string()), LABEL: pa.array(labels, pa.string())}), others


def _files(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """All files below a folder, in the order of their names; links to folders are followed, loops refused."""
    place = os.path.realpath(folder)
    if place in above:
        raise _loop(folder)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False  # a link that cannot be followed: as a picture's name it is a broken picture
        if is_folder:
            yield from _files(path, (*above, place))
        else:
            yield path


def is_picture(path: Path) -> bool:
    """Whether a file claims to be a picture: by its ending, or else by its first bytes."""
    ending = path.suffix.lower()
    if ending in PHOTO_ENDINGS or ending in _OTHER_ENDINGS:
        return ending in PHOTO_ENDINGS
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_BEGINNINGS)
    except OSError:
        return False


def _name(path: Path) -> str:
    name = str(path.absolute())
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(
            f"the file name {name!r} is no UTF-8", "names that every system can read", "Rename it"
        ) from None
    return name


PICTURES = Wanted(column="image", plural="pictures", endings=PHOTO_ENDINGS, accepts=is_picture, loose=True)


def read_image_files(paths: Sequence[Path]) -> pa.Table:
    """A table of absolute paths, as of a folder of images without classes; no row where one file is no image."""
    own = [_name(path) for path in paths if path.suffix.lower() in PHOTO_ENDINGS]
    return pa.table({PICTURES.column: pa.array(own if len(own) == len(paths) else [], pa.string())})
