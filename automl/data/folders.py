"""Folders as datasets: files named after the parts, pictures or texts for each class, one file, saved datasets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from automl.data.archives import plain_name
from automl.data.boxes import is_voc, read_voc
from automl.data.class_folders import LABEL, PICTURES, read_class_folders
from automl.data.formats.base import endings, formats
from automl.data.hugging_face import is_saved_dataset, name_parts, read_saved
from automl.data.joined import read_joined
from automl.data.part_words import PART_NAMES
from automl.data.rows import ReadOptions, Rows
from automl.data.sources import read_any
from automl.data.text_files import read_class_texts
from automl.data.yolo import is_yolo, read_yolo
from automl.errors import DataError

_ASIDE = {"readme", "license", "licence", "changelog", "citation", "notice", "requirements", "classes", "metadata"}
_SHARD = re.compile(r"^(.*?)[-_.]?\d+([-_]of[-_]\d+)?$")


def read_folder(path: Path, options: ReadOptions) -> dict[str, Rows]:
    """The parts that a folder holds. Raises DataError where it is no dataset, or could be read in two ways."""
    if is_saved_dataset(path):
        return name_parts(read_saved(path), str(path), "saved dataset")
    if is_voc(path):
        return read_voc(path)
    if is_yolo(path):
        return read_yolo(path)
    tables = [p for p in sorted(path.iterdir()) if p.is_file() and _is_table(p)]
    found = {part: files for part in PART_NAMES if (files := _files_of(part, tables))}
    if "train" in found:
        return {part: _read_part(path, part, files, options) for part, files in found.items()}
    if pictures := _read_pictures(path, has_tables=bool(tables)):
        return pictures
    if texts := read_class_texts(path, tables, options):
        return texts
    if len(tables) == 1 and not found:
        return {"train": read_any(tables[0], options)}
    inner = [p for p in sorted(path.iterdir()) if p.is_dir() and not p.name.startswith((".", "__"))]
    if not tables and len(inner) == 1 and not inner[0].is_symlink() and any(inner[0].iterdir()):
        return read_folder(inner[0], options)  # as archives and downloads often are
    names = [p.name for p in tables][:5]
    held = f", it has {' and '.join(found)} rows but none to train on" if found else ""
    raise DataError(
        f"the folder {path} is no dataset{held}",
        "a saved Hugging Face dataset, a train file with validation and test files beside it, one file of rows, or a "
        "folder of pictures or of text files for each class",
        f"Name a file in it: {', '.join(names)}" if names else "Name a file",
    )


def _read_pictures(path: Path, has_tables: bool) -> dict[str, Rows]:
    """The pictures of a folder by part; none where its tables tell more of them than its folders do."""
    found = read_class_folders(path, PICTURES)
    labelled = LABEL in found["train"][0].column_names if found else False
    if has_tables and (not labelled or len(found["train"][0][LABEL].unique()) < 2):
        return {}
    parts = {}
    for part, (table, others) in found.items():
        format = "folders of pictures" + (f" ({others:,} other files left out)" if others else "")
        parts[part] = Rows.of(table, f"{path} [{part}]" if len(found) > 1 else path, format=format)
    return parts


def _is_table(path: Path) -> bool:
    plain = plain_name(path)
    return plain.suffix.lower() in endings() and plain.stem.lower() not in _ASIDE and not path.name.startswith(".")


def _files_of(part: str, tables: Sequence[Path]) -> list[Path]:
    """The files that are named after a part alone; else those with its name among their words, where all have one."""
    exact = [p for p in tables if plain_name(p).stem.lower() in PART_NAMES[part]]
    if exact or None in (parts := [_part_of(p) for p in tables]):
        return exact
    return [p for p, named in zip(tables, parts, strict=True) if named == part]


def _part_of(path: Path) -> str | None:
    """train of 'train_5000.csv' and 'sts-train.csv'; None where no word is a part's name, or words of two are."""
    words = set(re.split(r"[^a-z]+", plain_name(path).stem.lower()))
    parts = [part for part, names in PART_NAMES.items() if words.intersection(names)]
    return parts[0] if len(parts) == 1 else None


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
