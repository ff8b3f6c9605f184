"""Folders of files as tables: a folder for each class."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from automl.data.images import PHOTO_ENDINGS
from automl.data.part_names import lacks_labels
from automl.errors import DataError

LABEL = "label"
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
OTHER_ENDINGS = frozenset({".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".html", ".yaml", ".db", ".ini"})


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The files that are looked for. column: of their paths. accepts: whether a file is one of them."""

    column: str
    plural: str
    endings: tuple[str, ...]
    accepts: Callable[[Path], bool]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The files of a folder. table: absolute paths, and class names (`label`) where they lie in class folders.

    others: how many files were none of those wanted. aside: class folders that were not read.
    """

    table: pa.Table
    others: int = 0
    aside: tuple[str, ...] = ()

    @property
    def classes(self) -> set[str]:
        return set(self.table[LABEL].unique().to_pylist()) if LABEL in self.table.column_names else set()

    def without_classes(self) -> Found:
        return replace(self, table=self.table.drop_columns([LABEL]))


def read_class_folders(folder: Path, wanted: Wanted, known: set[str] | None = None) -> Found:
    """The wanted files of a folder; a class is named by its folder, whatever folders lie below it.

    Files right in the folder make a table without labels. known: the classes of the training rows, where the folder
    holds others: a lone folder of another name is then no class. Raises DataError for a loop of links, and for an
    empty class folder in the training part.
    """
    found = _read_folder(folder, wanted, known is None)
    lone = known is not None and len(found.classes) == 1 and not found.classes & known
    return found.without_classes() if lone else found


def folders_in(folder: Path) -> list[Path]:
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


def own_files(folder: Path, wanted: Wanted) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in wanted.endings]


def _read_folder(folder: Path, wanted: Wanted, is_train: bool) -> Found:
    paths: list[str] = []
    labels: list[str] = []
    others, empty = 0, []
    classes, aside = _class_folders(folder)
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
        loose = [_name(path) for path in own_files(folder, wanted)]
        return Found(table=pa.table({wanted.column: pa.array(loose, pa.string())}), others=others)
    if empty and is_train:
        raise DataError(
            f"{len(empty)} class folders of {folder} hold no {wanted.plural}: {', '.join(empty[:10])}",
            f"files that end in {' '.join(wanted.endings)} in every class folder",
            f"Add {wanted.plural}, or remove these folders",
        )
    table = pa.table({wanted.column: pa.array(paths, pa.string()), LABEL: pa.array(labels, pa.string())})
    return Found(table=table, others=others, aside=tuple(f"the folder {place.name!r}" for place in aside))


def _class_folders(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders of the classes; and those beside two or more that are none: without labels, or a copy of them."""
    children = folders_in(folder)
    names = {child.name for child in children}

    def is_copy(child: Path) -> bool:
        inner = {place.name for place in folders_in(child)} if child.name == folder.name else set()
        return bool(inner) and inner <= names - {child.name}

    aside = [child for child in children if lacks_labels(child.name) or is_copy(child)]
    classes = [child for child in children if child not in aside]
    return (classes, aside) if len(classes) > 1 else (children, [])


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
    if ending in PHOTO_ENDINGS or ending in OTHER_ENDINGS:
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


PICTURES = Wanted(column="image", plural="pictures", endings=PHOTO_ENDINGS, accepts=is_picture)


def read_image_files(paths: Sequence[Path]) -> pa.Table:
    """A table of absolute paths, as of a folder of images without classes; no row where one file is no image."""
    own = [_name(path) for path in paths if path.suffix.lower() in PHOTO_ENDINGS]
    return pa.table({PICTURES.column: pa.array(own if len(own) == len(paths) else [], pa.string())})
