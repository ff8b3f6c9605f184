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


def write_yolo(folder: Path, names: str = "names: [cell, dust]") -> Path:
    for part in ("train", "val"):
        for place in ("images", "labels"):
            (folder / place / part).mkdir(parents=True)
        for number in range(4):
            picture("circle", number + 10 * (part == "val"), size=40).save(
                folder / "images" / part / f"p{number}.png"
            )
            (folder / "labels" / part / f"p{number}.txt").write_text("0 0.5 0.25 0.5 0.1\n")
    (folder / "labels" / "train" / "p3.txt").unlink()
    # the paths are those of the machine that it was made on
    (folder / "data.yaml").write_text(
        f"path: /data/cells\ntrain: images/train\nval: ../set/images/val\nnc: 2\n{names}\n"
    )
    return folder


def test_a_yolo_folder_is_read_by_part_with_edges_in_pixels(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path / "set")
    (folder / "labels" / "train" / "p1.txt").write_text(
        "1 0.1 0.1 0.5 0.2 0.3 0.9\n0 0.9 0.5 0.4 0.5\n0 0.5 0.5 0 0.5\n"
    )
    (folder / "labels" / "train" / "gone.txt").write_text("")
    seen = inspect(str(folder))
    assert {part: rows.table.num_rows for part, rows in seen.parts.items()} == {"train": 4, "validation": 4}
    train = seen.parts["train"]
    assert train.table["boxes"].to_pylist()[0] == [
        {"label": "cell", "xmin": 10.0, "ymin": 8.0, "xmax": 30.0, "ymax": 12.0}
    ]
    assert train.table["boxes"].to_pylist()[3] == []
    outline = train.table["boxes"].to_pylist()[1][0]
    assert [round(outline[edge]) for edge in ("xmin", "ymin", "xmax", "ymax")] == [4, 4, 20, 36]
    told = train.read_as.sentence()
    assert "YOLO (1 outlines read as the boxes around them)" in told
    assert "1 label files without a picture, such as gone.txt" in told
    assert seen.roles.task == "object-detection"
    flaws = {finding.what: finding.rows for finding in seen.findings if finding.kind == "broken_boxes"}
    assert flaws == {
        "train: boxes without area, of 5 boxes": (1,),
        "train: boxes that reach out of their picture, of 5 boxes": (1,),
    }


def test_yolo_boxes_stand_without_a_settings_file_and_a_broken_picture_has_none_that_are_known(
    tmp_path: Path,
) -> None:
    folder = write_yolo(tmp_path / "set")
    (folder / "data.yaml").unlink()
    (folder / "classes.txt").write_text("cell\ndust\n")
    (folder / "images" / "train" / "p0.png").write_bytes(b"\x89PNG")
    rows = load(str(folder))
    assert set(rows) == {"train", "validation"}
    boxes = rows["train"].table["boxes"].to_pylist()
    assert boxes[0] is None
    assert boxes[1][0]["label"] == "cell"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.1 0.1 0.5", "line 1 has 3 numbers after the class"),
        ("0 0.1 0.1 0.5 0.5 0.9", "has 5 numbers"),
        ("cell 0.1 0.1 0.5 0.5", "line 1 is 'cell 0.1"),
        ("7 0.1 0.1 0.5 0.5", "names class 7, and there are 2"),
        ("0 0.1 nan 0.5 0.5", "a number without end"),
    ],
)
def test_a_line_that_is_no_box_is_named(tmp_path: Path, line: str, said: str) -> None:
    folder = write_yolo(tmp_path / "set")
    (folder / "labels" / "train" / "p2.txt").write_text(line)
    with pytest.raises(DataError, match=rf"p2\.txt cannot be read as YOLO boxes: .*{said}"):
        load(str(folder))


def test_a_yolo_folder_reads_nothing_outside_itself(tmp_path: Path) -> None:
    write_yolo(tmp_path / "other")
    folder = write_yolo(tmp_path / "set")
    (folder / "data.yaml").write_text(f"train: {tmp_path}/other/images/train\nnames: {{0: cell, 1: dust}}\n")
    rows = load(str(folder))["train"]
    assert all(str(image).startswith(str(folder)) for image in rows.table["image"].to_pylist())
    (folder / "data.yaml").write_text("train: nowhere\nnames: [cell]\n")
    (folder / "images").rename(folder / "pictures")
    with pytest.raises(DataError, match="has no training pictures at nowhere"):
        load(str(folder))
