"""Folders, files and splits are the parts that their names speak of, never classes; what is left aside is said."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from automl.data.folders import read_folder
from automl.data.hugging_face import name_parts
from automl.data.load import load
from automl.data.part_names import choose_folders, choose_splits, lacks_labels, part_of
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError
from tests.pictures import write_pictures

CLASSES = ("circle", "square")


def pictured(folder: Path, start: int, rows: int = 2, classes: tuple[str, ...] = CLASSES) -> None:
    write_pictures(folder, rows, start=start, classes=classes)


def rows_of(folder: Path) -> dict[str, int]:
    return {part: rows.table.num_rows for part, rows in load(str(folder)).items()}


def classes_of(rows: Rows) -> set[str]:
    return set(rows.table["label"].to_pylist())


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Train", "train"), ("training_set", "train"), ("trainingSet", "train"), ("TRAIN-images_01", "train"),
        ("testset", "test"), ("test1", "test"), ("devset", "validation"), ("hold-out", "test"), ("eval", "either"),
        ("bullet_train", None), ("test tube", None), ("testimony", None), ("train_test", None), ("trains", None),
    ],
)  # fmt: skip
def test_a_name_speaks_of_a_part_where_it_says_nothing_else(name: str, part: str | None) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize(
    ("names", "parts", "aside"),
    [
        (["Train", "TEST"], {"train": ["Train"], "test": ["TEST"]}, []),
        (["train", "dev", "valid", "unsup"], {"train": ["train"], "validation": ["valid"]}, ["dev", "unsup"]),
        (["training", "validation", "evaluation"],
         {"train": ["training"], "validation": ["validation"], "test": ["evaluation"]}, []),
        (["train", "test", "eval"], {"train": ["train"], "validation": ["eval"], "test": ["test"]}, []),
        (["train", "holdout", "test"], {"train": ["train"], "test": ["test"]}, ["holdout"]),
        (["train", "validation_matched", "validation_mismatched"],
         {"train": ["train"], "validation": ["validation_matched"]}, ["validation_mismatched"]),
        (["train-0-of-2", "train-1-of-2", "dev_matched-0-of-1", "dev_mismatched-0"],
         {"train": ["train-0-of-2", "train-1-of-2"], "validation": ["dev_matched-0-of-1"]}, ["dev_mismatched-0"]),
        (["train", "test_notes", "other"], {"train": ["train"]}, ["test_notes", "other"]),
    ],
)  # fmt: skip
def test_splits_are_chosen_by_their_names(names: list[str], parts: dict[str, list[str]], aside: list[str]) -> None:
    chosen = choose_splits(names)
    assert (chosen.parts, chosen.aside) == (parts, aside)


def test_folders_named_after_other_things_too_are_parts_only_together() -> None:
    assert choose_folders(["seg_test", "seg_train", "seg_pred"]).parts == {
        "train": ["seg_train"],
        "test": ["seg_test"],
    }
    for names in (["bullet_train", "test_tube"], ["steam_train", "bus"], ["test", "control"]):
        assert choose_folders(names).parts == {}
    assert lacks_labels("train_unlabeled")


def test_splits_of_a_saved_dataset_that_are_left_aside_are_said_and_one_name_twice_is_refused() -> None:
    table = pa.table({"text": ["a"], "label": ["x"]})
    parts = name_parts(dict.fromkeys(["train", "valid", "dev", "unlabeled"], table), "some/name", "hub dataset")
    assert list(parts) == ["train", "validation"]
    assert "not read: the split 'dev', the split 'unlabeled'" in parts["train"].read_as.sentence()
    for names in (["train", "Train", "test"], ["train_r1", "train_r2", "test_r1"], ["train", "test", "Test"]):
        with pytest.raises(DataError, match="could be meant by one name; one split of each part"):
            name_parts(dict.fromkeys(names, table), "some/name", "hub dataset")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set/training_set", "test_set/test_set"),
        ("Train/images", "TEST/images"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("data/train", "data/test"),
        ("a/b/trainset/train", "a/b/testset/test"),
    ],
)
def test_parts_are_found_behind_folders_whose_names_say_no_more(tmp_path: Path, train: str, test: str) -> None:
    pictured(tmp_path / "set" / train, 0, rows=3)
    pictured(tmp_path / "set" / test, 50)
    (tmp_path / "set" / "__MACOSX" / "junk").mkdir(parents=True)
    (tmp_path / "set" / ".DS_Store").write_bytes(b"\x00")
    parts = load(str(tmp_path / "set"))
    assert {part: rows.table.num_rows for part, rows in parts.items()} == {"train": 6, "test": 4}
    assert all(classes_of(rows) == set(CLASSES) for rows in parts.values())


def test_where_a_part_was_found_and_what_lies_beside_it_is_said(tmp_path: Path) -> None:
    pictured(tmp_path / "seg_train" / "seg_train", 0)
    pictured(tmp_path / "seg_test" / "seg_test", 50)
    pictured(tmp_path / "seg_pred", 80)
    said = load(str(tmp_path))["train"].read_as.sentence()
    assert "not read: the folder 'seg_pred'" in said
    assert "train is the folder seg_train/seg_train" in said


def test_parts_without_class_folders_are_never_classes(tmp_path: Path) -> None:
    for part, start in (("train", 0), ("test", 50)):
        pictured(tmp_path / part, start)
        for folder in (tmp_path / part).iterdir():
            for file in list(folder.iterdir()):
                file.rename(tmp_path / part / f"{folder.name}-{file.name}")
            folder.rmdir()
    with pytest.raises(DataError, match=r"folders train and test of .* hold no class folders; .* Sort the files"):
        load(str(tmp_path))
    names = sorted(path.stem for path in (tmp_path / "train").iterdir())
    (tmp_path / "labels.csv").write_text("id,breed\n" + "".join(f"{name},{name.split('-')[0]}\n" for name in names))
    (tmp_path / "sample_submission.csv").write_text("id,circle,square\n1,0.5,0.5\n")
    rows = load(str(tmp_path))["train"]
    assert rows.table["id"].to_pylist() == names
    assert rows.read_as.left_out == ("sample_submission.csv", "the folder 'test'")


@pytest.mark.parametrize("named", ["{part}/{stem}.png", "data\\{part}\\{stem}.png", "{stem}.png", "{stem}"])
def test_rows_of_a_table_are_of_the_part_whose_folder_holds_their_file(tmp_path: Path, named: str) -> None:
    rows = []
    for part, start in (("train", 0), ("test_set", 50)):
        write_pictures(tmp_path / "some", 3, start=start, classes=("circle",))
        (tmp_path / "some" / "circle").rename(tmp_path / part)
        (tmp_path / "some").rmdir()
        rows += [named.format(part=part, stem=file.stem) for file in sorted((tmp_path / part).iterdir())]
    (tmp_path / "labels.csv").write_text("kind,file\n" + "".join(f"x,{name}\n" for name in reversed(rows)))
    parts = load(str(tmp_path))
    assert {part: sorted(held.table["file"].to_pylist()) for part, held in parts.items()} == {
        "train": sorted(rows[:3]),
        "test": sorted(rows[3:]),
    }
    assert parts["test"].numbers.tolist() == [0, 1, 2]
    assert "parts by the folders of the files in 'file': train 3, test 3" in parts["train"].read_as.sentence()


@pytest.mark.parametrize("place", ["test/test1", "test/unknown", "test"])
def test_a_test_folder_of_files_without_classes_has_no_labels(tmp_path: Path, place: str) -> None:
    pictured(tmp_path / "train", 0)
    pictured(tmp_path / "some", 50, classes=("circle",))
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / "some" / "circle").rename(tmp_path / place)
    (tmp_path / "some").rmdir()
    assert load(str(tmp_path))["test"].table.column_names == ["image"]


def test_a_copy_of_all_classes_among_the_classes_is_left_aside(tmp_path: Path) -> None:
    pictured(tmp_path / "cells", 0)
    pictured(tmp_path / "cells" / "cells", 0)
    rows = load(str(tmp_path / "cells"))["train"]
    assert (rows.table.num_rows, classes_of(rows)) == (4, set(CLASSES))
    assert rows.read_as.left_out == ("the folder 'cells'",)


def write_lines(path: Path, word: str, rows: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{word} text {number}\n" for number in range(rows)))


def test_texts_without_labels_beside_those_of_classes_are_left_aside(tmp_path: Path) -> None:
    for name in ("pos", "neg", "unsup"):
        for number in range(2):
            write_lines(tmp_path / "train" / name / f"{number}.txt", name)
    write_lines(tmp_path / "test" / "pos" / "0.txt", "pos")
    write_lines(tmp_path / "test" / "neg" / "0.txt", "neg")
    parts = load(str(tmp_path))
    assert classes_of(parts["train"]) == {"pos", "neg"}
    assert parts["train"].read_as.left_out == ("the folder 'unsup'",)
    assert parts["test"].table.num_rows == 2


@pytest.mark.parametrize("name", ["{}.txt", "reviews.{}", "rt-polarity.{}"])
@pytest.mark.parametrize("parts", [("",), ("train", "test")])
def test_a_file_of_lines_for_each_class_is_read_in_every_part(tmp_path: Path, name: str, parts: tuple[str]) -> None:
    for part in parts:
        for label in ("pos", "neg"):
            write_lines(tmp_path / part / name.format(label), label)
    (tmp_path / "rt-polaritydata.README.1.0.txt").write_text("what this is")
    found = load(str(tmp_path))
    assert len(found) == len(parts)
    for rows in found.values():
        assert sorted(rows.table["label"].to_pylist()) == ["neg"] * 3 + ["pos"] * 3
        assert rows.table["text"].to_pylist()[0] == "neg text 0"


def test_endings_that_are_no_classes_make_no_dataset(tmp_path: Path) -> None:
    for name in ("model.bin", "model.idx"):
        (tmp_path / name).write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="is no dataset"):
        load(str(tmp_path))


def test_files_of_rows_in_folders_of_parts_are_joined_by_part(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for shard in range(2):
            lines = [json.dumps({"text": f"{part} {shard} {number}", "label": "x"}) for number in range(3)]
            (tmp_path / part).mkdir(exist_ok=True)
            (tmp_path / part / f"part-{shard:05d}.jsonl").write_text("\n".join(lines))
    assert rows_of(tmp_path) == {"train": 6, "test": 6}


def test_files_that_end_in_the_name_of_a_part_are_that_part(tmp_path: Path) -> None:
    (tmp_path / "cooking.train").write_text("__label__salt how much\n__label__pan which one\n")
    (tmp_path / "cooking.valid").write_text("__label__salt too much\n")
    parts = read_folder(tmp_path, ReadOptions())
    assert {part: rows.table.num_rows for part, rows in parts.items()} == {"train": 2, "validation": 1}


def test_files_beside_those_of_the_parts_are_said(tmp_path: Path) -> None:
    for name in ("train.csv", "valid.csv", "dev.csv", "unlabeled.csv", "sample_submission.csv"):
        (tmp_path / name).write_text("text,label\na,x\nb,y\n")
    parts = load(str(tmp_path))
    assert list(parts) == ["train", "validation"]
    assert set(parts["train"].read_as.left_out) == {"dev.csv", "unlabeled.csv", "sample_submission.csv"}
