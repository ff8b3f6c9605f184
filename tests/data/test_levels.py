"""Images of more than 8 bits a channel, and shapes in the alpha channel alone: shown as they are meant, and said."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from automl.config import make_request
from automl.data.fingerprints import row_problem
from automl.data.images import decode, look_at, thumbnail
from automl.data.levels import FULL, levels_of, parse_levels
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part
from automl.data.profile import Inspection, inspect
from automl.errors import DataError
from automl.models.card import _shown_first
from automl.tasks.image_classification import ImageClassification
from automl.types import Finding, Schema
from tests.pictures import picture, tiny_net

KINDS = ("circle", "square")


def grey(number: int, bits: int = 8, kind: str | None = None) -> np.ndarray[Any, Any]:
    """A shape in grey, its values over so many bits; equal for all bits but for what 8 bits cannot tell apart."""
    values = np.asarray(picture(kind or KINDS[number % 2], number).convert("L")).astype(np.uint16)
    return values << (bits - 8)


def write_deep(folder: Path, bits: int, count: int = 24) -> Path:
    for number in range(count):
        path = folder / KINDS[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey(number, bits).astype(np.uint8 if bits == 8 else np.uint16)).save(path)
    return folder


def finding(seen: Inspection, kind: str, part: str = "train") -> Finding:
    return next(one for one in seen.findings if (one.kind, one.part) == (kind, part))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    room = io.BytesIO()
    image.save(room, format, **options)
    return room.getvalue()


def shown(data: bytes, levels: tuple[float, float] | None = None) -> np.ndarray[Any, Any]:
    return np.asarray(decode(data, levels).picture)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_images_are_cut_and_shown_as_the_same_images_of_8_bits(tmp_path: Path, bits: int) -> None:
    plain, deep = write_deep(tmp_path / "plain", 8), write_deep(tmp_path / "deep", bits)
    one = prepare(make_request({"source": str(plain)}), tmp_path / "one")
    data = prepare(make_request({"source": str(deep)}), tmp_path / "data")
    assert one.schema.levels is None
    assert data.schema.levels == (0.0, float(2**bits))
    assert data.split.fingerprint == one.split.fingerprint
    assert any(f"0 to {2**bits - 1:,} is black to white" in line for line in data.assumptions)
    assert load_prepared(tmp_path / "data") == data
    train = read_part(data.directory, "train")
    sha256 = json.loads((tmp_path / "data" / "split.json").read_text())["parts"]["train"]["sha256"]
    assert row_problem(train, ("image",), train["label"], sha256, data.schema.levels) is None


def test_levels_are_of_all_training_images_so_dark_ones_stay_dark(tmp_path: Path) -> None:
    folder = write_deep(tmp_path / "deep", 12)
    dark = folder / "circle" / "0.png"
    Image.fromarray(grey(0, 12) // 16).save(dark)
    seen = inspect(str(folder))
    assert seen.levels == (0.0, 4096.0)
    assert np.asarray(look_at(str(dark), seen.levels).miniature[0]) < 16
    assert finding(seen, "deep_images").severity == "note"


def test_the_user_s_levels_go_before_those_of_the_data_and_what_they_cut_off_is_said(tmp_path: Path) -> None:
    folder = write_deep(tmp_path / "deep", 12)
    seen = inspect(str(folder), levels="0:2047")
    assert seen.levels == (0.0, 2048.0)
    assert finding(seen, "deep_images").severity == "warn"
    assert "cut off" in finding(seen, "deep_images").what
    with pytest.raises(DataError, match="--levels 'bright' names no range; LOW:HIGH"):
        inspect(str(folder), levels="bright")
    assert parse_levels("-1000:400") == (-1000.0, 401.0)
    assert parse_levels("0:0.5") == (0.0, 0.5)


def test_one_bright_image_among_dark_ones_is_said(tmp_path: Path) -> None:
    folder = write_deep(tmp_path / "deep", 12)
    Image.fromarray(grey(50, 16)).save(folder / "circle" / "50.png")
    found = finding(inspect(str(folder)), "deep_images")
    assert found.severity == "warn"
    assert "so they are nearly black" in found.what


def test_a_test_part_is_shown_with_the_levels_of_training(tmp_path: Path) -> None:
    write_deep(tmp_path / "train", 12)
    write_deep(tmp_path / "test", 14, 4)
    seen = inspect(str(tmp_path / "train"), test=str(tmp_path / "test"))
    assert seen.levels == (0.0, 4096.0)
    assert "cut off" in finding(seen, "deep_images", "test").what


def test_levels_hold_what_the_images_hold() -> None:
    assert levels_of([]) is None
    assert levels_of([(0, 3, True)]) == (0, 256), "of few bits nothing is stretched"
    assert levels_of([(0, 255, True), (9, 256, True)]) == (0, 512)
    assert levels_of([(0, 40_000, True)]) == FULL
    assert levels_of([(-1024, 3071, True)]) == (-1024, 3072)
    assert levels_of([(0.0, 1.0, False)]) == (0.0, 1.0)
    assert levels_of([(0.0, 254.5, False)]) == (0.0, 256.0)
    assert levels_of([(-0.5, 2.0, False)]) == (-0.5, 2.0)


@pytest.mark.parametrize(("kind", "low", "high"), [(np.int32, -1024, 3072), (np.float32, 0, 1), (np.int32, 0, 4096)])
def test_signed_numbers_and_fractions_are_shown_over_their_range(kind: Any, low: float, high: float) -> None:
    steps = np.arange(256).reshape(16, 16)
    values = (low + steps * (high - low) / 256).astype(kind)
    assert (shown(encoded(Image.fromarray(values), "TIFF"), (low, high))[..., 0] == steps).all()
    holes = values.astype(np.float32)
    holes[0, :4] = np.nan, np.inf, -np.inf, np.nan
    assert shown(encoded(Image.fromarray(holes), "TIFF"), (low, high))[0, :4, 0].tolist() == [0, 255, 0, 0]


def png_of_16_bits(values: np.ndarray[Any, Any], colour: int) -> bytes:
    """A PNG with colours of 16 bits, which Pillow cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("channels", "colour"), [(3, 2), (4, 6)])
def test_colours_of_12_bits_in_16_are_read_whole(channels: int, colour: int) -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(32, 128)
    every = np.stack([values, values[::-1], values[:, ::-1], np.full_like(values, 65535)], axis=2)[..., :channels]
    found = decode(png_of_16_bits(every, colour), (0, 4096))
    assert found.values == (0, 4095, True)
    assert (np.asarray(found.picture) == every[..., :3] >> 4).all()
    assert (shown(png_of_16_bits(every << 4, colour)) == every[..., :3] >> 4).all(), "as before, of the full range"


def test_the_model_its_card_and_thumbnails_see_the_levels(tmp_path: Path) -> None:
    import pyarrow as pa
    import transformers

    folder = write_deep(tmp_path / "deep", 12, 2)
    path = str(folder / "circle" / "0.png")
    schema = Schema(task="image-classification", inputs=("image",), target="label", levels=(0.0, 4096.0))
    assert Schema.from_json(schema.to_json()) == schema
    processor = transformers.AutoImageProcessor.from_pretrained(tiny_net(tmp_path / "net"), use_fast=False)
    encoded_rows = ImageClassification().encode(pa.table({"image": [path]}), schema, processor, {})
    assert np.abs(encoded_rows["pixel_values"][0][0, 0].astype(int) - grey(0)).max() <= 1
    small = Image.open(io.BytesIO(base64.b64decode(str(thumbnail(path, levels=schema.levels)).partition(",")[2])))
    assert (np.asarray(small)[..., 0] == grey(0)).all()
    assert "`floor((values - 0) * 256 / 4096)`" in _shown_first(schema.to_json())[0]
    assert _shown_first(Schema(task="x", inputs=(), target="y").to_json()) == []


@pytest.mark.parametrize(("colour", "ground"), [((0, 0, 0), 255), ((255, 255, 255), 0), ((200, 30, 30), 255)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_shape_in_alpha_alone_is_laid_on_a_ground(mode: str, colour: tuple[int, ...], ground: int) -> None:
    alpha = Image.fromarray(np.uint8(grey(0) > 100) * 255)
    image = Image.new("RGBA", alpha.size, colour)
    image.putalpha(alpha)
    if mode == "P":
        image = Image.fromarray(np.asarray(alpha) // 255)
        image = image.convert("P")
        image.putpalette([*colour, *colour])
        data = encoded(image, transparency=0)
    else:
        data = encoded(image.convert(mode))
    found = decode(data)
    assert found.shaped
    assert (np.asarray(found.picture)[np.asarray(alpha) == 0] == ground).all()
    assert not (np.asarray(found.picture)[np.asarray(alpha) > 0] == ground).all()


def test_colours_under_an_alpha_channel_stay_as_a_pipeline_reads_them() -> None:
    image = picture("circle", 1)
    for alpha in (
        Image.new("L", image.size, 255),
        Image.new("L", image.size, 9),
        Image.fromarray(grey(3).astype("u1")),
    ):
        image.putalpha(alpha)
        found = decode(encoded(image))
        assert not found.shaped
        assert (np.asarray(found.picture) == np.asarray(picture("circle", 1))).all()
    plain = Image.new("RGBA", (8, 8), (5, 5, 5, 0))
    assert not decode(encoded(plain)).shaped, "no shape is anywhere"


def test_shapes_in_alpha_and_further_frames_are_said_and_kept_for_the_card(tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "icons" / KINDS[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        icon = Image.new("RGBA", (32, 32))
        icon.putalpha(Image.fromarray(grey(number).astype(np.uint8)))
        icon.save(path)
    frames = [picture("square", number) for number in (60, 61)]
    frames[0].save(tmp_path / "icons" / "square" / "two.gif", save_all=True, append_images=frames[1:])
    seen = inspect(str(tmp_path / "icons"))
    assert finding(seen, "alpha_shapes").count == 24
    assert finding(seen, "several_frames").count == 1
    assert "conflicting_labels" not in {one.kind for one in seen.findings}
    data = prepare(make_request({"source": str(tmp_path / "icons")}), tmp_path / "data")
    assert data.schema.shaped
    assert "laid on white" in _shown_first(data.schema.to_json())[0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "it is HEIC, as phones write it, which is not read here"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "it is SVG, a drawing"),
        (b"\0" * 128 + b"DICM" + b"\0" * 40, "it is DICOM"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "x.png").write_bytes(data)
    assert told in str(look_at(str(tmp_path / "x.png")).problem)
