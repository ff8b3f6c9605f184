"""Folders and tables of pictures: read as they lie, whatever is wrong with a file found and dealt with on record."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.config import make_request
from automl.data import images
from automl.data.images import decode, look_at, read_rgb, thumbnail
from automl.data.load import load, read_rows
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part
from automl.data.profile import Inspection, inspect
from automl.errors import DataError, RequestError
from automl.types import Finding, Part, PreparedData
from tests.pictures import CLASSES, picture, write_pictures


def prepared(source: Path, directory: Path, **options: object) -> PreparedData:
    return prepare(make_request({"source": str(source), **options}), directory)


def kinds(seen: Inspection) -> dict[str, Finding]:
    return {finding.kind: finding for finding in seen.findings}


def repairs(data: PreparedData) -> dict[str, int]:
    told = json.loads((data.directory / "cleaning.json").read_text())["repairs"]
    return {repair["kind"]: repair["count"] for repair in told}


def test_a_folder_for_each_class_needs_no_option(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes", 20)
    data = prepared(tmp_path / "shapes", tmp_path / "data")
    assert data.schema.task == "image-classification"
    assert (data.schema.inputs, data.schema.target, data.schema.classes) == (
        ("image",),
        "label",
        tuple(sorted(CLASSES)),
    )
    train = read_part(data.directory, "train")
    assert train.column_names == ["row", "image", "label"]
    assert read_part(data.directory, "test").column_names == ["row", "image"]
    for path, label in zip(train["image"].to_pylist(), train["label"].to_pylist(), strict=True):
        assert Path(path).is_absolute()
        assert Path(path).parent.name == label
    assert sum(data.counts.values()) == 60
    assert load_prepared(data.directory) == data


def test_train_and_test_folders_are_kept_as_they_are(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes" / "train", 10)
    write_pictures(tmp_path / "shapes" / "dev", 3, start=50)
    write_pictures(tmp_path / "shapes" / "test", 4, start=80)
    data = prepared(tmp_path / "shapes", tmp_path / "data")
    assert dict(data.counts) == {"train": 30, "validation": 9, "test": 12}
    again = prepared(
        tmp_path / "shapes" / "train", tmp_path / "again", test=str(tmp_path / "shapes" / "test"),
        validation=str(tmp_path / "shapes" / "dev"),
    )  # fmt: skip
    assert again.split.fingerprint == data.split.fingerprint


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_pictures(tmp_path / "things", 5, classes=("circle", "square"))
    (tmp_path / "things" / "circle").rename(tmp_path / "things" / "train")
    assert set(load(str(tmp_path / "things"))["train"].table["label"].to_pylist()) == {"train", "square"}


@pytest.mark.parametrize("option", [{}, {"image": "file"}])
def test_a_table_with_paths_counts_them_from_its_own_folder(tmp_path: Path, option: dict[str, str]) -> None:
    write_pictures(tmp_path / "data" / "shapes", 8)
    files = sorted((tmp_path / "data" / "shapes").rglob("*.png"))
    lines = [f"{f.relative_to(tmp_path / 'data')},{f.parent.name}" for f in files]
    (tmp_path / "data" / "table.csv").write_text("\n".join(["file,kind", *lines]) + "\n")
    data = prepared(tmp_path / "data" / "table.csv", tmp_path / "out", target="kind", **option)
    assert data.schema.inputs == ("file",)
    parts: tuple[Part, ...] = ("train", "validation", "test")
    written = [path for part in parts for path in read_part(data.directory, part)["file"].to_pylist()]
    assert sorted(written) == [str(file) for file in files]


def test_the_split_follows_what_the_pictures_show_not_where_they_lie(tmp_path: Path) -> None:
    one = prepared(write_pictures(tmp_path / "one", 12), tmp_path / "a")
    (tmp_path / "two").mkdir()
    for number, path in enumerate(sorted((tmp_path / "one").rglob("*.png"), reverse=True)):
        (tmp_path / "two" / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "two" / path.parent.name / f"x{number:03}.png")
    two = prepared(tmp_path / "two", tmp_path / "b")
    assert one.split.fingerprint == two.split.fingerprint


def test_repetitions_contradictions_and_overlaps_are_found_and_repaired(tmp_path: Path) -> None:
    train = write_pictures(tmp_path / "shapes" / "train", 10)
    test = write_pictures(tmp_path / "shapes" / "test", 4, start=50)
    shutil.copy(train / "circle" / "000.png", train / "circle" / "copy.png")
    picture("circle", 1).save(train / "circle" / "resaved.bmp")
    shutil.copy(train / "bar" / "003.png", train / "square" / "mistaken.png")
    shutil.copy(train / "bar" / "004.png", test / "bar" / "seen.png")
    found = kinds(inspect(str(tmp_path / "shapes")))
    assert found["exact_duplicates"].count == 2, "the same bytes: the copy, and the one with another label"
    assert found["near_duplicates"].count == 1, "the same pixels in other bytes"
    assert found["conflicting_labels"].count == 2
    assert found["split_overlap"].count == 1
    data = prepared(tmp_path / "shapes", tmp_path / "data")
    assert repairs(data) == {"split_overlap": 1, "conflicting_labels": 2, "exact_duplicates": 2}
    assert data.counts["test"] == 13


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced_by_text(path: Path) -> None:
    path.write_text("no picture at all")


def linked_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone.png")


def linked_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def made_a_postscript(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")


@pytest.mark.parametrize(
    "break_it", [cut_short, emptied, replaced_by_text, linked_nowhere, linked_to_itself, made_a_postscript]
)
def test_a_file_that_cannot_be_decoded_is_a_finding_and_leaves_the_training_rows(
    tmp_path: Path, break_it: Callable[[Path], None]
) -> None:
    source = write_pictures(tmp_path / "shapes", 12)
    break_it(source / "circle" / "003.png")
    broken = kinds(inspect(str(source)))["broken_images"]
    assert (broken.count, broken.severity) == (1, "repair")
    assert "003.png" in broken.what
    data = prepared(source, tmp_path / "data")
    assert repairs(data) == {"broken_images": 1}
    assert sum(data.counts.values()) == 35


def test_where_no_image_can_be_read_the_first_is_named_with_its_reason(tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "shapes", 12)
    for path in source.rglob("*.png"):
        path.with_suffix(".heic").write_bytes(b"\0\0\0\x18ftypheic" + path.read_bytes())
        path.unlink()
    with pytest.raises(DataError, match=r"none of the 36 images can be read, the first: .*000.heic: it is HEIC"):
        inspect(str(source))


def test_a_broken_picture_in_a_given_test_is_left_out_on_record(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes" / "train", 10)
    test = write_pictures(tmp_path / "shapes" / "test", 4, start=50)
    cut_short(test / "bar" / "051.png")
    broken = kinds(inspect(str(tmp_path / "shapes")))["broken_images"]
    assert (broken.severity, broken.part, broken.count) == ("repair", "test", 1)
    data = prepared(tmp_path / "shapes", tmp_path / "data")
    assert data.counts["test"] == 11
    assert data.cleaned == ("test: 1 rows left out whose picture cannot be decoded, for every contender alike",)
    assert repairs(data) == {"broken_images": 1}
    assert not any("bar/051.png" in path for path in read_part(data.directory, "test")["image"].to_pylist())


def test_a_given_test_of_mostly_broken_pictures_refuses_the_run(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes" / "train", 10)
    test = write_pictures(tmp_path / "shapes" / "test", 2, start=50)
    for name in ("bar", "circle"):
        for file in (test / name).iterdir():
            cut_short(file)
    told = r"4 of 6 pictures of .* cannot be read, the first: .*png; test rows most of which can be read"
    with pytest.raises(DataError, match=told):
        prepared(tmp_path / "shapes", tmp_path / "data")
    assert not (tmp_path / "data").exists()
    refused = kinds(inspect(str(tmp_path / "shapes")))["refused"]
    assert "4 of 6 pictures" in refused.what


def test_a_wrong_ending_is_told_and_the_picture_kept(tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "shapes", 10)
    picture("circle", 90).save(source / "circle" / "really.jpg", format="PNG")
    picture("circle", 91).save(source / "circle" / "no_ending", format="PNG")
    assert kinds(inspect(str(source)))["wrong_extension"].count == 2
    assert sum(prepared(source, tmp_path / "data").counts.values()) == 32


def test_a_small_file_that_would_decode_to_gigabytes_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(images, "MOST_PIXELS", 1_000_000)
    data = io.BytesIO()
    Image.new("L", (1_001, 1_000)).save(data, format="PNG")
    assert len(data.getvalue()) < 5_000
    with pytest.raises(images.Undecodable, match="over the limit"):
        decode(data.getvalue())


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16", "CMYK"])
def test_grey_palette_and_transparent_pictures_become_rgb(tmp_path: Path, mode: str) -> None:
    ending = "tif" if mode == "CMYK" else "png"
    grey = np.linspace(0, 255, 256, dtype=np.uint8).reshape(16, 16)
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 256).save(tmp_path / "x.png")
    else:
        Image.fromarray(grey).convert("RGB").convert(mode).save(tmp_path / f"x.{ending}")
    found = read_rgb(str(tmp_path / f"x.{ending}"))
    assert (found.mode, found.size) == ("RGB", (16, 16))
    if mode not in ("1", "P"):
        assert np.abs(np.asarray(found).astype(int)[..., 0] - grey).max() <= 1


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "x.jpg", exif=exif)
    assert read_rgb(str(tmp_path / "x.jpg")).size == (10, 20)


def test_a_missing_picture_is_told_in_three_parts() -> None:
    with pytest.raises(DataError, match="nowhere.png cannot be read as a picture: No such file"):
        read_rgb("/nowhere.png")
    assert look_at(None).problem == "there is no path"


def loop_above(folder: Path) -> None:
    (folder / "circle" / "up").symlink_to(folder)


def loop_of_a_class(folder: Path) -> None:
    (folder / "ring").symlink_to("ring")


@pytest.mark.parametrize("loop", [loop_above, loop_of_a_class])
def test_a_loop_of_links_is_told_and_not_followed(tmp_path: Path, loop: Callable[[Path], None]) -> None:
    source = write_pictures(tmp_path / "shapes", 3)
    loop(source)
    with pytest.raises(DataError, match="leads back to itself; folders that end somewhere. Remove the link"):
        load(str(source))


def test_folders_without_pictures_are_told_in_three_parts(tmp_path: Path) -> None:
    (tmp_path / "none" / "a").mkdir(parents=True)
    with pytest.raises(
        DataError, match="is no dataset; .*a folder of pictures or of text files for each class. Name a file"
    ):
        load(str(tmp_path / "none"))
    source = write_pictures(tmp_path / "shapes", 3)
    (source / "ring").mkdir()
    with pytest.raises(DataError, match="1 class folders .* hold no pictures: ring; files that .*. Add pictures"):
        load(str(source))


def test_pictures_without_class_folders_can_be_predicted_but_not_learnt_from(tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "shapes", 12) / "circle"
    table, read_as = read_rows(str(source))
    assert (table.column_names, read_as.rows) == (["image"], 12)
    with pytest.raises(DataError, match="lie in no class folders; one folder for each class"):
        prepared(source, tmp_path / "data")


def test_other_files_among_pictures_are_counted_and_left_out(tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "shapes", 3)
    (source / "circle" / "notes.txt").write_text("a note")
    (source / "circle" / ".hidden.png").write_bytes(b"")
    read_as = load(str(source))["train"].read_as
    assert read_as.rows == 9
    assert "1 other files left out" in read_as.sentence()


def test_inputs_and_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "shapes", 12)
    with pytest.raises(DataError, match="--task text-classification is given, but 'image' holds pictures"):
        prepared(source, tmp_path / "data", task="text-classification")
    with pytest.raises(RequestError, match="--image and --text are both given"):
        prepared(source, tmp_path / "data", image="image", text="image")
    with pytest.raises(DataError, match="did you mean 'image'"):
        prepared(source, tmp_path / "data", image="imag")


def test_pictures_out_of_an_archive_stay_in_the_run_and_are_named_as_they_will_lie(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes", 12)
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "shapes")
    folder, archive = prepared(tmp_path / "shapes", tmp_path / "a"), str(tmp_path / "packed.zip")
    packed = prepare(make_request({"source": archive}), tmp_path / "scratch", home=tmp_path / "home")
    assert packed.split.fingerprint == folder.split.fingerprint
    (tmp_path / "scratch").rename(tmp_path / "home")
    for path in read_part(tmp_path / "home", "train")["image"].to_pylist():
        assert Path(path).is_relative_to(tmp_path / "home" / "unpacked")
        assert look_at(path).problem is None


def test_what_was_unpacked_goes_when_nothing_can_be_learnt(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes" / "train", 12, classes=("bar",))
    write_pictures(tmp_path / "shapes" / "test", 2, classes=("bar",))
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "shapes")
    with pytest.raises(DataError, match="has one class"):
        prepare(make_request({"source": str(tmp_path / "packed.zip")}), tmp_path / "scratch")
    assert not (tmp_path / "scratch" / "unpacked").exists()


def test_a_picture_becomes_a_small_one_and_a_broken_one_none(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    Image.new("RGBA", (400, 200), (200, 30, 30, 128)).save(path)
    found = thumbnail(str(path))
    assert found is not None
    assert found.startswith("data:image/png;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2]))).size == (96, 48)
    path.write_bytes(path.read_bytes()[:60])
    assert thumbnail(str(path)) is None
    assert thumbnail(str(tmp_path / "gone.png")) is None


def test_pictures_much_smaller_than_the_others_are_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set", 6)
    assert "small_images" not in kinds(inspect(str(folder))), "small, but as all of them"
    picture("bar", 99).resize((40, 7)).save(folder / "bar" / "900.png")
    found = kinds(inspect(str(folder)))["small_images"]
    assert (found.count, found.rows) == (1, (6,))
    assert "900.png with 40 × 7; half of all have 32+" in found.what
