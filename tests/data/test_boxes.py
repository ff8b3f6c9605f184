"""Boxes around things, and conversations: read and described, though no task takes them yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automl.config import make_request
from automl.data.load import load
from automl.data.prepare import prepare
from automl.data.profile import inspect
from automl.errors import DataError
from tests.pictures import picture

VOC = "<annotation><filename>{0}.png</filename>{1}</annotation>"
THING = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def write_voc(folder: Path) -> Path:
    for place in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / place).mkdir(parents=True)
    for number in range(6):
        picture("circle", number).save(folder / "JPEGImages" / f"p{number}.png")
        things = THING.format("cell", 1, 2, 9, 8) + (THING.format("dust", 5, 5, 5, 5) if number == 4 else "")
        (folder / "Annotations" / f"p{number}.xml").write_text(VOC.format(f"p{number}", things))
    (folder / "ImageSets" / "Main" / "train.txt").write_text("p0\np1\np4\n")
    (folder / "ImageSets" / "Main" / "val.txt").write_text("p2\n")
    (folder / "ImageSets" / "Main" / "trainval.txt").write_text("p0\np1\np4\np2\n")
    return folder


def test_a_voc_folder_is_read_by_part_and_boxes_without_area_are_named(tmp_path: Path) -> None:
    seen = inspect(str(write_voc(tmp_path / "set")))
    assert {part: rows.table.num_rows for part, rows in seen.parts.items()} == {"train": 3, "validation": 1}
    assert (seen.roles.task, seen.roles.target, seen.roles.inputs) == ("object-detection", "boxes", ("image",))
    [flaw] = [finding for finding in seen.findings if finding.kind == "broken_boxes"]
    assert (flaw.count, flaw.rows) == (1, (2,))
    with pytest.raises(DataError, match="makes the task object-detection .*supported now"):
        prepare(make_request({"source": str(tmp_path / "set")}), tmp_path / "data")


def test_an_annotation_that_is_none_is_named(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "set")
    for text in (
        "<annotation>",
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>',
        VOC.format("p0", THING.format("c", 1, 2, 3, "x")),
    ):
        (folder / "Annotations" / "p0.xml").write_text(text)
        with pytest.raises(DataError, match=r"p0\.xml cannot be read as an annotation"):
            load(str(folder))
    (folder / "ImageSets" / "Main" / "val.txt").write_text("p99\n")
    (folder / "Annotations" / "p0.xml").write_text(VOC.format("p0", ""))
    with pytest.raises(DataError, match="1 pictures without an annotation, the first 'p99'"):
        load(str(folder))


def test_a_coco_file_is_a_row_a_picture(tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"image_id": 8, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    rows = load(str(tmp_path / "coco.json"))["train"]
    assert rows.read_as.format == "COCO"
    assert rows.table.to_pylist() == [
        {"image": "a.png", "boxes": []},
        {"image": "b.png", "boxes": [{"label": "cell", "xmin": 1.0, "ymin": 2.0, "xmax": 4.0, "ymax": 6.0}]},
    ]
    (tmp_path / "coco.json").write_text(json.dumps(coco | {"categories": [{"id": 2, "name": "cell"}]}))
    with pytest.raises(DataError, match="cannot be read as COCO: KeyError 1"):
        load(str(tmp_path / "coco.json"))


def test_conversations_are_told_as_what_they_are(tmp_path: Path) -> None:
    turns = [
        {"messages": [{"role": "user", "content": f"what is {n}?"}, {"role": "assistant", "content": "a number"}]}
        for n in range(20)
    ]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, turns)))
    seen = inspect(str(tmp_path / "chat.jsonl"))
    assert (seen.rows, seen.roles.task, seen.roles.inputs) == (20, "chat", ("messages",))
    with pytest.raises(DataError, match="each conversation is its own target"):
        prepare(make_request({"source": str(tmp_path / "chat.jsonl")}), tmp_path / "data")
