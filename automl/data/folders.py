"""Folders as datasets: files named after the parts, pictures or texts for each class, one file, saved datasets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from automl.data.archives import plain_name
from automl.data.boxes import is_voc, read_voc
from automl.data.class_folders import PICTURES, Found, folders_in, own_files, read_class_folders
from automl.data.formats.base import endings, formats
from automl.data.hugging_face import is_saved_dataset, name_parts, read_saved
from automl.data.joined import read_joined
from automl.data.part_folders import PartFolders, find_part_folders
from automl.data.part_names import choose_splits, part_of, words_of
from automl.data.row_parts import parts_by_folder
from automl.data.rows import ReadOptions, Rows
from automl.data.sources import read_any
from automl.data.text_files import is_note, read_class_lines, read_class_texts
from automl.data.yolo import is_yolo, read_yolo
from automl.errors import DataError

_SHARD = re.compile(r"^(.*?)[-_.]?\d+([-_]of[-_]\d+)?$")


def read_folder(path: Path, options: ReadOptions) -> dict[str, Rows]:
    """The parts that a folder holds. Raises DataError where it is no dataset, or could be read in two ways."""
    if is_saved_dataset(path):
        return name_parts(read_saved(path), str(path), "saved dataset")
    if is_voc(path):
        return read_voc(path)
    if is_yolo(path):
        return read_yolo(path)
    tables, answers = _tables(path)
    by_name = {_name(file): [other for other in tables if _name(other) == _name(file)] for file in tables}
    chosen = choose_splits(list(by_name))
    if "train" in chosen.parts:
        files = {part: [file for name in names for file in by_name[name]] for part, names in chosen.parts.items()}
        aside = [file.name for name in chosen.aside for file in by_name[name]] + answers
        parts = {part: _read_part(path, part, held, options) for part, held in files.items()}
        return _with_aside(parts, aside)
    folders = find_part_folders(path)
    if folders is not None and (parts := _read_part_folders(path, folders, has_tables=bool(tables), options=options)):
        return _with_aside(parts, folders.aside)
    wrapped = None if tables or folders is not None else _only_folder(path)
    if wrapped is not None and folders_in(wrapped):
        return read_folder(wrapped, options)  # as archives and downloads often are; one class would teach nothing
    if folders is None and (parts := _read_classes({"train": path}, path, bool(tables), options)):
        return parts
    if len(tables) == 1 and not chosen.parts:
        rows = read_any(tables[0], options)
        if folders is None:
            return _with_aside({"train": rows}, answers)
        parts = parts_by_folder(rows, path, folders.places)
        aside = [f"the folder {place.name!r}" for part, place in folders.places.items() if part not in parts]
        return _with_aside(parts, [*answers, *folders.aside, *aside])
    if wrapped is not None:
        return read_folder(wrapped, options)
    raise _no_dataset(path, [file.name for file in tables], list(chosen.parts))


def _only_folder(path: Path) -> Path | None:
    """The only folder in a folder, where no images lie beside it."""
    inner = folders_in(path)
    if len(inner) != 1 or inner[0].is_symlink() or own_files(path, PICTURES) or not any(inner[0].iterdir()):
        return None
    return inner[0]


def _no_dataset(path: Path, names: Sequence[str], parts: Sequence[str]) -> DataError:
    held = f", it has {' and '.join(parts)} rows but none to train on" if parts else ""
    return DataError(
        f"the folder {path} is no dataset{held}",
        "a saved Hugging Face dataset, a train file with validation and test files beside it, one file of rows, or a "
        "folder of pictures or of text files for each class",
        f"Name a file in it: {', '.join(names[:5])}" if names else "Name a file",
    )


def _with_aside(parts: dict[str, Rows], aside: Sequence[str]) -> dict[str, Rows]:
    return {part: rows.noting(left_out=aside) if part == "train" else rows for part, rows in parts.items()}


def _read_part_folders(path: Path, folders: PartFolders, has_tables: bool, options: ReadOptions) -> dict[str, Rows]:
    """The parts in folders of their own; empty where a table beside them may tell of what they hold.

    Raises DataError where they hold no classes.
    """
    places = folders.places
    parts = _read_classes(places, path, has_tables, options)
    unlabelled = bool(parts) and "label" not in parts["train"].table.column_names
    if not parts or unlabelled:
        parts = _read_tables(places, path, options) or parts
    if not parts and has_tables:
        return {}
    if not parts or (unlabelled and len(places) > 1):
        listed = " and ".join(str(place.relative_to(path)) for place in places.values())
        raise DataError(
            f"the folders {listed} of {path} are named as parts of a dataset, and hold no class folders",
            "in each of them a folder for each class, or a table beside them with a row for each file",
            "Sort the files into folders, or add the table, such as labels.csv with the columns file and label",
        )
    return {
        part: rows.noting(f"{part} is the folder {places[part].relative_to(path)}")
        if part in places and places[part].name.lower() != part
        else rows
        for part, rows in parts.items()
    }


def _read_classes(places: Mapping[str, Path], path: Path, has_tables: bool, options: ReadOptions) -> dict[str, Rows]:
    """Pictures or texts by class; empty where there are none, or tables tell more of them than folders do."""
    return (
        _read_pictures(places, path, has_tables)
        or read_class_texts(places, path, options)
        or read_class_lines(places, path, options)
    )


def _read_tables(places: Mapping[str, Path], path: Path, options: ReadOptions) -> dict[str, Rows]:
    """The files of rows in the folders of parts; empty where that of the training rows has none."""
    files = {part: _tables(place)[0] for part, place in places.items()}
    if not files["train"]:
        return {}
    return {part: _read_part(path, part, held, options) for part, held in files.items() if held}


def _read_pictures(places: Mapping[str, Path], path: Path, has_tables: bool) -> dict[str, Rows]:
    """The pictures of a folder by part; none where its tables tell more of them than its folders do."""
    train = read_class_folders(places["train"], PICTURES)
    if not train.table.num_rows or (has_tables and len(train.classes) < 2):
        return {}
    found = {"train": train}
    for part, place in places.items():
        if part != "train" and (held := read_class_folders(place, PICTURES, train.classes)).table.num_rows:
            found[part] = held
    return {part: _picture_rows(held, f"{path} [{part}]" if len(found) > 1 else path) for part, held in found.items()}


def _picture_rows(found: Found, source: Path | str) -> Rows:
    format = "folders of pictures" + (f" ({found.others:,} other files left out)" if found.others else "")
    return Rows.of(found.table, source, format=format, left_out=found.aside)


def _tables(path: Path) -> tuple[list[Path], list[str]]:
    """The files of rows in a folder; and the names of those that show how answers are to be handed in."""
    tables = [p for p in sorted(path.iterdir()) if p.is_file() and _is_table(p)]
    answers = [p for p in tables if "submission" in words_of(plain_name(p).stem)] if len(tables) > 1 else []
    return [p for p in tables if p not in answers], [p.name for p in answers]


def _is_table(path: Path) -> bool:
    ending = plain_name(path).suffix.lower()
    return not is_note(path) and (ending in endings() or part_of(ending[1:]) is not None)


def _name(path: Path) -> str:
    """What may name a part: 'train' of train.csv.gz, 'cooking.train' of cooking.train."""
    plain = plain_name(path)
    return plain.name if plain.suffix.lower() not in endings() else plain.stem


def _read_part(folder: Path, part: str, files: Sequence[Path], options: ReadOptions) -> Rows:
    """The rows of a part: of its only file, of all its numbered files, or of one that stands in several formats."""
    if len(files) == 1:
        return read_any(files[0], options)
    shards = [_SHARD.match(plain_name(file).stem) for file in files]
    if (
        all(shards)
        and len({(match[1], file.suffix) for match, file in zip(shards, files, strict=True) if match}) == 1
    ):
        return read_joined(files, f"{folder} [{part}]", options)
    if len({plain_name(file).stem for file in files}) == 1:
        order = [ending for format in formats().values() for ending in format.endings]
        first, *others = sorted(files, key=lambda file: order.index(plain_name(file).suffix.lower()))
        rows = read_any(first, options)
        return replace(rows, read_as=replace(rows.read_as, left_out=tuple(other.name for other in others)))
    raise DataError(
        f"{folder} holds several {part} files: {', '.join(file.name for file in files)}",
        "one of each part",
        "Name the file, and give the others with --validation and --test",
    )
