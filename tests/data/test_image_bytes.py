"""Columns that hold image files themselves: unpacked into the run, split and cleaned as the same files in folders."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from automl.config import make_request
from automl.data.cleaned import write_cleaned
from automl.data.images import look_at
from automl.data.load import read_rows
from automl.data.prepare import prepare
from automl.data.prepared import read_part
from automl.data.profile import inspect
from automl.errors import DataError
from tests.pictures import picture, write_pictures

KINDS = ("circle", "square")
HUB = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(number: int) -> bytes:
    room = io.BytesIO()
    picture(KINDS[number % 2], number).save(room, "PNG")
    return room.getvalue()


def hub(data: bytes, path: str | None = None) -> dict[str, Any]:
    return {"bytes": data, "path": path}


FORMS: dict[str, tuple[Callable[[bytes], Any], pa.DataType]] = {
    "the hub's": (hub, HUB),
    "a list of one": (lambda data: [hub(data)], pa.list_(HUB)),
    "bytes": (lambda data: data, pa.binary()),
    "large bytes": (lambda data: data, pa.large_binary()),
    "base64": (lambda data: base64.b64encode(data).decode(), pa.string()),
    "an address of data": (lambda data: f"data:image/png;base64,{base64.b64encode(data).decode()}", pa.string()),
}


def table(form: str, count: int = 24) -> pa.Table:
    make, kind = FORMS[form]
    images = pa.array([make(encoded(number)) for number in range(count)], kind)
    return pa.table({"image": images, "label": [number % 2 for number in range(count)]})


@pytest.mark.parametrize("form", FORMS)
def test_images_in_a_table_are_unpacked_and_cut_as_the_same_images_in_folders(tmp_path: Path, form: str) -> None:
    parquet.write_table(table(form), tmp_path / "rows.parquet")
    data = prepare(
        make_request({"source": str(tmp_path / "rows.parquet")}), tmp_path / "draft", home=tmp_path / "home"
    )
    (tmp_path / "draft").rename(tmp_path / "home")
    assert (data.schema.task, data.schema.inputs) == ("image-classification", ("image",))
    folder = tmp_path / "folders"
    for number in range(24):
        (folder / str(number % 2)).mkdir(parents=True, exist_ok=True)
        (folder / str(number % 2) / f"{number}.png").write_bytes(encoded(number))
    assert prepare(make_request({"source": str(folder)}), tmp_path / "b").split.fingerprint == data.split.fingerprint
    for path in read_part(tmp_path / "home", "train")["image"].to_pylist():
        assert Path(path).is_relative_to(tmp_path / "home" / "unpacked")
        assert look_at(path).problem is None
    assert "picture 'image': its values are image files themselves" in data.assumptions


def test_the_hub_s_images_without_bytes_are_files_beside_the_table(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes", 12)
    paths = sorted(path.relative_to(tmp_path) for path in (tmp_path / "shapes").rglob("*.png"))
    images = pa.array([{"bytes": None, "path": str(path)} for path in paths], HUB)
    rows = pa.table({"image": images, "kind": [path.parent.name for path in paths]})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    seen = inspect(str(tmp_path / "rows.parquet"))
    assert seen.parts["train"].table["image"].to_pylist() == [str(tmp_path / path) for path in paths]


def test_a_broken_image_and_a_row_without_one_are_found(tmp_path: Path) -> None:
    rows = table("the hub's").to_pylist()
    rows[3]["image"] = hub(rows[3]["image"]["bytes"][:100])
    rows[4]["image"] = None
    parquet.write_table(
        pa.Table.from_pylist(rows, pa.schema({"image": HUB, "label": pa.int64()})), tmp_path / "rows.parquet"
    )
    broken = next(finding for finding in inspect(str(tmp_path / "rows.parquet")).findings)
    assert (broken.kind, broken.rows) == ("broken_images", (3, 4))


def test_sounds_in_the_hub_s_form_are_no_images(tmp_path: Path) -> None:
    sounds = pa.array([hub(b"RIFF\x24\0\0\0WAVEfmt " + bytes([n]) * 40, f"{n}.wav") for n in range(24)], HUB)
    parquet.write_table(pa.table({"audio": sounds, "label": [n % 2 for n in range(24)]}), tmp_path / "x.parquet")
    assert inspect(str(tmp_path / "x.parquet")).unpacked is None


@pytest.mark.parametrize(
    ("format", "ending"), [("WEBP", ".webp"), ("BMP", ".bmp"), ("TIFF", ".tif"), ("AVIF", ".avif")]
)
def test_unpacked_files_end_as_what_they_are(tmp_path: Path, format: str, ending: str) -> None:
    images = []
    for number in range(12):
        room = io.BytesIO()
        picture(KINDS[number % 2], number).save(room, format)
        images.append(room.getvalue())
    parquet.write_table(pa.table({"image": images, "label": [n % 2 for n in range(12)]}), tmp_path / "x.parquet")
    seen = inspect(str(tmp_path / "x.parquet"))
    assert {Path(path).suffix for path in seen.parts["train"].table["image"].to_pylist()} == {ending}
    assert not {finding.kind for finding in seen.findings} & {"broken_images", "wrong_extension"}


def test_several_images_in_a_row_are_refused(tmp_path: Path) -> None:
    rows = [{"image": [hub(encoded(n)), hub(encoded(n + 50))], "label": n % 2} for n in range(24)]
    parquet.write_table(
        pa.Table.from_pylist(rows, pa.schema({"image": pa.list_(HUB), "label": pa.int64()})), tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match="column 'image' holds 2 images in row 0 of train; one image in every row"):
        inspect(str(tmp_path / "x.parquet"))


def test_a_second_column_of_images_is_left_as_it_is_and_either_can_be_named(tmp_path: Path) -> None:
    masks = pa.array([hub(encoded(number + 100)) for number in range(24)], HUB)
    parquet.write_table(table("the hub's").append_column("mask", masks), tmp_path / "rows.parquet")
    assert inspect(str(tmp_path / "rows.parquet")).roles.inputs == ("image",)
    assert inspect(str(tmp_path / "rows.parquet"), image="mask").roles.inputs == ("mask",)


def test_a_named_column_of_text_beside_images_is_learnt_from_alone(tmp_path: Path) -> None:
    words = [f"some words of a caption, the {number}th" for number in range(24)]
    parquet.write_table(table("the hub's").append_column("caption", pa.array(words)), tmp_path / "rows.parquet")
    seen = inspect(str(tmp_path / "rows.parquet"), text="caption")
    assert (seen.roles.task, seen.unpacked) == ("text-classification", None)


def test_cleaned_rows_hold_their_images_as_before(tmp_path: Path) -> None:
    rows = pa.concat_tables([table("the hub's"), table("the hub's", 1)])
    parquet.write_table(rows, tmp_path / "rows.parquet")
    write_cleaned(str(tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    assert read_rows(str(tmp_path / "out.parquet"))[0].equals(table("the hub's"))


def test_images_of_a_saved_dataset_are_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(KINDS))})
    rows = {"image": [hub(encoded(number)) for number in range(24)], "label": [number % 2 for number in range(24)]}
    datasets.Dataset.from_dict(rows, features).save_to_disk(tmp_path / "saved")
    seen = inspect(str(tmp_path / "saved"))
    assert (seen.roles.inputs, dict(seen.class_counts)) == (("image",), {"circle": 12, "square": 12})


def test_base64_in_lines_of_json_is_read(tmp_path: Path) -> None:
    lines = [{"photo": base64.b64encode(encoded(n)).decode(), "kind": KINDS[n % 2]} for n in range(24)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert inspect(str(tmp_path / "rows.jsonl")).roles.inputs == ("photo",)
