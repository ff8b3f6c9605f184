"""Pictures with boxes around things: one row a picture; Pascal VOC folders and COCO files are read here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa

from automl.data.encoding import lines_of
from automl.data.images import ENDINGS, Look
from automl.data.leakage import Keyed, first_rows
from automl.data.part_words import PART_NAMES
from automl.data.rows import Rows
from automl.errors import DataError
from automl.types import Finding

BOXES = "boxes"
EDGES = ("xmin", "ymin", "xmax", "ymax")
_BOX = pa.struct([("label", pa.string()), *((edge, pa.float64()) for edge in EDGES)])
_MOST_BYTES = 1 << 24


def is_voc(folder: Path) -> bool:
    return any((folder / "Annotations").glob("*.xml"))


def read_voc(folder: Path) -> dict[str, Rows]:
    """The parts that ImageSets/Main names, or all pictures as `train`. Raises DataError for other files."""
    files = {file.stem: file for file in sorted((folder / "Annotations").glob("*.xml"))}
    lists = {file.stem: file for file in sorted((folder / "ImageSets" / "Main").glob("*.txt"))}
    parts = {}
    for part, names in PART_NAMES.items():
        name = next((name for name in names if name in lists), None)
        if name is not None:
            stems = [line.split()[0] for line in lines_of(lists[name].read_text(encoding="utf-8")) if line.strip()]
            parts[part] = _chosen(files, stems, lists[name])
    if "train" not in parts:
        parts = {"train": list(files.values())}
    return {
        part: Rows.of(
            box_table(_read_annotation(file, folder) for file in chosen),
            f"{folder} [{part}]" if len(parts) > 1 else str(folder),
            format="Pascal VOC",
        )
        for part, chosen in parts.items()
    }


def _chosen(files: Mapping[str, Path], stems: Sequence[str], source: Path) -> list[Path]:
    missing = [stem for stem in stems if stem not in files]
    if missing:
        raise DataError(
            f"{source} names {len(missing):,} pictures without an annotation, the first {missing[0]!r}",
            "a file in Annotations for each",
            "Add the files, or take these names out",
        )
    return [files[stem] for stem in stems]


def _read_annotation(file: Path, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        text = file.read_text(encoding="utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("it declares entities, which may grow without end")
        root = ElementTree.fromstring(text)
        boxes = [
            {
                "label": thing.findtext("name", ""),
                **{edge: float(thing.findtext(f"bndbox/{edge}", "")) for edge in EDGES},
            }
            for thing in root.iter("object")
        ]
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise DataError(
            f"{file} cannot be read as an annotation: {error}",
            "Pascal VOC: object elements with a name and a bndbox of four numbers",
            "Mend the file, or remove it",
        ) from None
    named = Path(root.findtext("filename", "")).name or file.stem
    return _picture(folder / "JPEGImages", named, file.stem), boxes


def _picture(folder: Path, named: str, stem: str) -> str:
    """Where the picture lies: under its name, or under the annotation's with any ending of a picture."""
    places = [folder / named, *(folder / f"{stem}{ending}" for ending in ENDINGS)]
    return str(next((place for place in places if place.is_file()), places[0]).absolute())


def is_coco(names: Sequence[str]) -> bool:
    return {"images", "annotations", "categories"} <= set(names)


def read_coco(values: Mapping[str, Any], path: Path) -> pa.Table:
    """A COCO file's pictures with their boxes. Raises DataError where its lists do not fit together."""
    try:
        names = {category["id"]: str(category["name"]) for category in values["categories"]}
        boxes: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in values["images"]}
        for thing in values["annotations"]:
            x, y, wide, high = map(float, thing["bbox"])
            edges = dict(zip(EDGES, (x, y, x + wide, y + high), strict=True))
            boxes[thing["image_id"]].append({"label": names[thing["category_id"]], **edges})
        return box_table((str(image["file_name"]), boxes[image["id"]]) for image in values["images"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as COCO: {type(error).__name__} {error}",
            "images, categories and annotations that name them by their ids, each with a bbox of four numbers",
            "Export it again",
        ) from None


def box_table(rows: Iterable[tuple[str, list[dict[str, Any]] | None]]) -> pa.Table:
    """Paths of pictures and what is known of their boxes: `image` and `boxes`."""
    pairs = list(rows)
    images = pa.array([image for image, _ in pairs], pa.string())
    return pa.table({"image": images, BOXES: pa.array([boxes for _, boxes in pairs], pa.list_(_BOX))})


def find_box_flaws(part: Keyed, looks: Sequence[Look]) -> list[Finding]:
    """Boxes without area, which no detector can learn from, and boxes that reach out of their picture."""
    table = part.rows.table
    if BOXES not in table.column_names or table[BOXES].type != pa.list_(_BOX):
        return []
    boxes = [found or () for found in table[BOXES].to_pylist()]
    flat = np.array([sum(map(_is_flat, own)) for own in boxes])
    sized = zip(boxes, looks, strict=True) if looks else ()
    outside = np.array([sum(_is_outside(box, look) for box in own) for own, look in sized], np.int64)
    told = (
        (flat, "without area", "leave these boxes out"),
        (outside, "that reach out of their picture", "cut them at its edges"),
    )
    return [
        Finding(
            kind="broken_boxes",
            severity="warn",
            count=int(counts.sum()),
            what=f"{part.name}: boxes {what}, of {sum(map(len, boxes)):,} boxes",
            suggestion=suggestion,
            rows=first_rows(part.numbers, counts > 0),
            part=part.name,
        )
        for counts, what, suggestion in told
        if counts.any()
    ]


def _is_flat(box: Mapping[str, Any]) -> bool:
    return bool(box["xmax"] <= box["xmin"] or box["ymax"] <= box["ymin"])


def _is_outside(box: Mapping[str, Any], look: Look) -> bool:
    """By more than the pixel that counting from 1 makes."""
    return look.problem is None and bool(
        min(box["xmin"], box["ymin"]) < -1 or box["xmax"] > look.width + 1 or box["ymax"] > look.height + 1
    )
