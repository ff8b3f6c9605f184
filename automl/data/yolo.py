"""Pictures with boxes as YOLO keeps them: a text file for each picture, and data.yaml with classes and parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from automl.data.boxes import EDGES, box_table
from automl.data.encoding import lines_of
from automl.data.images import ENDINGS, picture_size
from automl.data.part_words import PART_NAMES
from automl.data.rows import Rows
from automl.errors import DataError

_IMAGES, _LABELS = "images", "labels"
_MOST_BYTES = 1 << 24
_BOX_NUMBERS = 4


@dataclass
class _Found:
    """What reading came across that is no row."""

    outlines: int = 0


def is_yolo(folder: Path) -> bool:
    """Whether a folder holds a data.yaml that names classes, or pictures in images and text files in labels."""
    if _settings(folder):
        return True
    return (folder / _IMAGES).is_dir() and any((folder / _LABELS).rglob("*.txt"))


def read_yolo(folder: Path) -> dict[str, Rows]:
    """The parts that data.yaml or the folders name, edges in pixels. Raises DataError for other files.

    A picture without a text file has no boxes. The paths in data.yaml are often those of another machine: the end
    of each that is there below the folder is meant, and nothing outside it is read.
    """
    settings = _settings(folder)
    names = _names(folder, settings)
    parts = {}
    for part, places in _places(folder, settings).items():
        found = _Found()
        pictures = [picture for place in places for picture in _pictures(folder, place)]
        rows = [(str(picture.absolute()), _boxes(picture, folder, names, found)) for picture in pictures]
        told = f"YOLO ({found.outlines:,} outlines read as the boxes around them)" if found.outlines else "YOLO"
        parts[part] = (box_table(rows), told)
    orphans = _orphans(folder, {str(image) for table, _ in parts.values() for image in table["image"].to_pylist()})
    return {
        part: Rows.of(
            table,
            f"{folder} [{part}]" if len(parts) > 1 else str(folder),
            format=told,
            left_out=orphans if part == "train" else (),
        )
        for part, (table, told) in parts.items()
    }


def _settings(folder: Path) -> dict[str, Any]:
    """What the YAML file of the folder says that has `names`; empty where there is none."""
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            if file.stat().st_size > _MOST_BYTES:
                continue
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            continue  # a file of something else
        if isinstance(values, dict) and "names" in values and (_parts_in(values) or (folder / _IMAGES).is_dir()):
            return values
    return {}


def _parts_in(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """The paths that each part is said to lie at."""
    found = {}
    for part, keys in PART_NAMES.items():
        value = next((settings[key] for key in keys if settings.get(key)), None)
        if value is not None:
            found[part] = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return found


def _names(folder: Path, settings: Mapping[str, Any]) -> dict[int, str] | None:
    """Class names by number: of data.yaml, or of classes.txt; None where they have none."""
    named = settings.get("names")
    try:
        if isinstance(named, dict):
            return {int(number): str(name) for number, name in named.items()}
        if isinstance(named, list):
            return dict(enumerate(map(str, named)))
        for file in (folder / "classes.txt", folder / _LABELS / "classes.txt"):
            if file.is_file():
                lines = lines_of(file.read_text(encoding="utf-8"))
                return dict(enumerate(line.strip() for line in lines if line.strip()))
    except (OSError, ValueError):
        raise DataError(
            f"the class names of {folder} cannot be read", "names as a list, or numbered from 0", "Mend the file"
        ) from None
    return None


def _places(folder: Path, settings: Mapping[str, Any]) -> dict[str, list[Path]]:
    """The folders, or files that list pictures, of every part. Raises DataError where none is left to train on."""
    said = _parts_in(settings)
    base = str(settings.get("path") or "")
    found = {part: [place for one in paths if (place := _below(folder, one, base))] for part, paths in said.items()}
    found = {part: places for part, places in found.items() if places}
    if "train" in found:
        return found
    inner = {part: [folder / _IMAGES / name for name in names] for part, names in PART_NAMES.items()}
    found = {part: there for part, places in inner.items() if (there := [p for p in places if p.is_dir()])}
    if "train" in found:
        return found
    if (folder / _IMAGES).is_dir() and not found:
        return {"train": [folder / _IMAGES]}
    raise DataError(
        f"the YOLO folder {folder} has no training pictures"
        + (f" at {', '.join(said['train'])}" if said.get("train") else ""),
        "a folder of them, as `train` in its data.yaml names it, or images beside labels",
        "Correct data.yaml",
    )


def _below(folder: Path, named: str, base: str = "") -> Path | None:
    """The longest end of a path that is there below the folder."""
    parts = [
        part
        for part in (*PurePosixPath(base).parts, *PurePosixPath(named.replace("\\", "/")).parts)
        if part not in ("/", ".", "..")
    ]
    ends = (folder.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end.exists()), None)


def _pictures(folder: Path, place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from (path for path in sorted(place.rglob("*")) if path.suffix.lower() in ENDINGS)
        return
    for line in lines_of(place.read_text(encoding="utf-8")):
        if line.strip():
            yield (
                _below(place.parent, line.strip()) or _below(folder, line.strip()) or folder / Path(line.strip()).name
            )


def _label_file(picture: Path, folder: Path) -> Path:
    """labels/a.txt of images/a.jpg, or a.txt beside it."""
    inside = list(picture.relative_to(folder).parts)
    if _IMAGES in inside:
        last = len(inside) - 1 - inside[::-1].index(_IMAGES)
        inside[last] = _LABELS
    return folder.joinpath(*inside).with_suffix(".txt")


def _orphans(folder: Path, pictures: set[str]) -> tuple[str, ...]:
    """What is told of text files whose picture is not there."""
    meant = {_label_file(Path(picture), folder.absolute()) for picture in pictures}
    lost = [
        file
        for file in sorted(folder.absolute().rglob(f"{_LABELS}/**/*.txt"))
        if file not in meant and file.name != "classes.txt"
    ]
    return (f"{len(lost):,} label files without a picture, such as {lost[0].name}",) if lost else ()


def _boxes(
    picture: Path, folder: Path, names: Mapping[int, str] | None, found: _Found
) -> list[dict[str, Any]] | None:
    """The boxes of a picture; None where it cannot be decoded, so that nothing is known of their pixels."""
    file = _label_file(picture, folder)
    if not file.is_file():
        return []
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        lines = lines_of(file.read_text(encoding="utf-8"))
        read = [_read_line(line, number, names, found) for number, line in enumerate(lines, 1) if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} cannot be read as YOLO boxes: {error}",
            "lines of a class number and four numbers, the middle, width and height as shares of the picture, or the "
            "corners of an outline",
            "Mend the file, or remove it with its picture",
        ) from None
    size = picture_size(str(picture))
    if size is None:
        return None
    scale = dict(zip(EDGES, (*size, *size), strict=True))
    return [{"label": label, **{edge: share * scale[edge] for edge, share in edges.items()}} for label, edges in read]


def _read_line(
    line: str, number: int, names: Mapping[int, str] | None, found: _Found
) -> tuple[str, dict[str, float]]:
    """The class, and the edges as shares of the picture."""
    try:
        kind, *numbers = line.split()
        index, values = int(kind), [float(one) for one in numbers]
    except ValueError:
        raise ValueError(f"line {number} is {line.strip()[:60]!r}") from None
    if names is not None and index not in names:
        raise ValueError(f"line {number} names class {index}, and there are {len(names)}")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"line {number} holds a number without end")
    label = str(index) if names is None else names[index]
    if len(values) == _BOX_NUMBERS:
        x, y, width, height = values
        return label, _edges((x - width / 2, x + width / 2), (y - height / 2, y + height / 2))
    if len(values) >= 6 and len(values) % 2 == 0:
        found.outlines += 1
        return label, _edges(values[::2], values[1::2])
    raise ValueError(f"line {number} has {len(values)} numbers after the class")


def _edges(across: Sequence[float], down: Sequence[float]) -> dict[str, float]:
    return {"xmin": min(across), "ymin": min(down), "xmax": max(across), "ymax": max(down)}
