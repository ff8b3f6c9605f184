"""Columns that name images as other machines do: the files are found, or the message says where they were not."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from automl.config import make_request
from automl.data import image_files
from automl.data.image_files import find_images
from automl.data.prepare import prepare
from automl.data.prepared import read_part
from automl.data.profile import inspect
from automl.errors import DataError
from automl.types import PreparedData
from tests.pictures import picture

KINDS = ("circle", "square")


def written(folder: Path, count: int = 24, name: Callable[[int], str] = "{:04}.png".format) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name(number) for number in range(count)]
    for number, path in enumerate(paths):
        picture(KINDS[number % 2], number).save(path, "PNG")
    return paths


def table(path: Path, values: list[object], columns: str = "file,kind") -> Path:
    lines = [f"{value},{KINDS[number % 2]}" for number, value in enumerate(values)]
    path.write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
    return path


def prepared(source: Path, directory: Path, **options: object) -> PreparedData:
    return prepare(make_request({"source": str(source), "target": "kind", **options}), directory)


def files_of(data: PreparedData) -> set[str]:
    column = data.schema.inputs[0]
    parts = ("train", "validation", "test")
    return {path for part in parts for path in read_part(data.directory, part)[column].to_pylist()}  # type: ignore[arg-type]


SPELLINGS: dict[str, Callable[[Path], str]] = {
    "without its folder": lambda path: path.name,
    "without folder and ending": lambda path: path.stem,
    "a number": lambda path: str(int(path.stem)),
    "backslashes": lambda path: f"images\\{path.name}",
    "a Windows drive": lambda path: f"C:\\Users\\bob\\set\\images\\{path.name}",
    "another machine": lambda path: f"/home/bob/set/images/{path.name}",
    "another case": lambda path: f"Images/{path.stem}.PNG",
    "another ending": lambda path: f"images/{path.stem}.jpg",
    "a leading point": lambda path: f"./images/{path.name}",
    "an address of a file": lambda path: f"file:///data/my%20set/{path.name}",
    "percent signs": lambda path: f"some%20where/{path.name}",
    "white space": lambda path: f" {path.name} ",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_images_are_found_below_the_table_however_they_are_named(tmp_path: Path, spelling: str) -> None:
    paths = written(tmp_path / "set" / "images")
    source = table(tmp_path / "set" / "labels.csv", [SPELLINGS[spelling](path) for path in paths])
    data = prepared(source, tmp_path / "out")
    assert data.schema.task == "image-classification"
    assert files_of(data) == {str(path) for path in paths}
    if spelling != "a leading point":
        told = next(line for line in data.assumptions if line.startswith("picture 'file'"))
        assert f"train: 24 of 24 found by name below {tmp_path / 'set'}" in told


def test_accents_are_the_same_however_a_system_composes_them(tmp_path: Path) -> None:
    paths = written(tmp_path / "images", name=lambda n: unicodedata.normalize("NFD", f"café-{n}.png"))
    source = table(tmp_path / "labels.csv", [unicodedata.normalize("NFC", path.name) for path in paths])
    assert files_of(prepared(source, tmp_path / "out")) == {str(path) for path in paths}


def test_names_that_lead_to_two_files_are_told_apart_by_folder_else_by_part_else_not_at_all(tmp_path: Path) -> None:
    train, test = (written(tmp_path / part, 3) for part in ("train", "test"))
    index = image_files.Index(tmp_path)

    def found(*values: str, among: tuple[str, ...] = ()) -> image_files.Found:
        import pyarrow as pa

        return find_images(pa.chunked_array([list(values)]), tmp_path, among, index)

    assert found("elsewhere/test/0001.png").paths.to_pylist() == [str(test[1])]
    assert found("0001.png", among=("train",)).paths.to_pylist() == [str(train[1])]
    twofold = found("0000.png", "nowhere.png", "")
    assert twofold.missing == {
        0: f"2 files below {tmp_path} are called so: test/0000.png and train/0000.png",
        1: f"no such file, and none of that name below {tmp_path}",
        2: "there is no path",
    }


def test_each_part_of_a_folder_looks_into_the_folder_of_its_name(tmp_path: Path) -> None:
    written(tmp_path / "test", 4)
    paths = written(tmp_path / "train", 24)
    table(tmp_path / "train.csv", [path.stem for path in paths])
    table(tmp_path / "test.csv", [f"{number:04}" for number in range(4)])
    data = prepared(tmp_path, tmp_path / "out")
    assert data.counts["test"] == 4
    assert all(
        path.startswith(str(tmp_path / "test")) for path in read_part(data.directory, "test")["file"].to_pylist()
    )


def test_images_that_are_gone_are_named_with_where_they_were_looked_for_and_what_is_there(tmp_path: Path) -> None:
    source = table(tmp_path / "labels.csv", [f"images/{number}.png" for number in range(24)])
    with pytest.raises(DataError) as problem:
        inspect(str(source), target="kind")
    assert problem.value.found == (
        "none of the 24 images that column 'file' names is there, the first: 'images/0.png' "
        f"(no such file, and none of that name below {tmp_path})"
    )
    assert problem.value.expected.endswith("no image file lies there")
    written(tmp_path / "photos", 1, lambda _: "other.png")
    with pytest.raises(DataError, match="1 image files lie there, such as photos/other.png"):
        inspect(str(source), target="kind", image="file")


def test_one_image_that_is_gone_leaves_the_training_rows_with_its_reason(tmp_path: Path) -> None:
    paths = written(tmp_path / "images")
    source = table(tmp_path / "labels.csv", [path.name for path in paths[:-1]] + ["gone.png"])
    seen = inspect(str(source), target="kind")
    broken = next(finding for finding in seen.findings if finding.kind == "broken_images")
    assert (broken.count, broken.rows) == (1, (23,))
    assert "gone.png: no such file, and none of that name below" in broken.what


def test_addresses_of_images_are_refused_by_name(tmp_path: Path) -> None:
    source = table(tmp_path / "labels.csv", [f"https://example.org/{number}.png" for number in range(24)])
    with pytest.raises(
        DataError, match="'file' holds addresses of images, such as https://example.org/0.png; files on"
    ):
        inspect(str(source), target="kind")


def test_images_downloaded_from_addresses_are_found_by_name(tmp_path: Path) -> None:
    paths = written(tmp_path / "images")
    source = table(tmp_path / "labels.csv", [f"https://example.org/a/{path.name}?size=9" for path in paths])
    assert files_of(prepared(source, tmp_path / "out", image="file")) == {str(path) for path in paths}


def test_numbers_beside_a_column_of_text_are_no_names_of_images(tmp_path: Path) -> None:
    written(tmp_path / "plots")
    words = ("the first of all things that were said", "another sentence with more words in it")
    lines = [f"{number},{words[number % 2]} {number},{KINDS[number % 2]}" for number in range(24)]
    (tmp_path / "texts.csv").write_text("\n".join(["row,text,kind", *lines]) + "\n")
    assert inspect(str(tmp_path / "texts.csv"), target="kind").roles.inputs == ("text",)


def test_classes_are_no_names_of_images(tmp_path: Path) -> None:
    written(tmp_path, 2, KINDS.__getitem__)
    source = table(tmp_path / "labels.csv", [number % 3 for number in range(24)], "size,kind")
    assert inspect(str(source), target="kind").roles.task == "tabular-classification"


def test_images_of_earlier_runs_are_not_found(tmp_path: Path) -> None:
    paths = written(tmp_path / "images")
    copies = written(tmp_path / "runs" / "first" / "data" / "unpacked")
    (tmp_path / "runs" / "first" / "request.yaml").touch()
    source = table(tmp_path / "labels.csv", [path.name for path in paths])
    assert files_of(prepared(source, tmp_path / "out")) == {str(path) for path in paths}
    assert len(copies) == len(paths)


def test_a_folder_with_too_many_files_is_not_walked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "images", 4)
    written(tmp_path / "more", 4, "x{}.png".format)
    monkeypatch.setattr(image_files, "MOST_FILES", 3)
    source = table(tmp_path / "labels.csv", [f"x{number}.png" for number in range(4)] * 6)
    with pytest.raises(DataError, match="there are too many files to look at them all"):
        inspect(str(source), target="kind")
