"""Image classification: one picture, and one of several classes.

image                       label
"/data/xray/0001.png"       pneumonia
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.data.image_column import located_images
from automl.data.image_files import absolute_paths
from automl.data.images import look_at_all, read_rgb
from automl.data.rows import Rows as DataRows
from automl.tasks.base import Baseline, Field, Generators
from automl.tasks.classification import CONSTANT, FEATURES, Classification, Rows, choose, fit_constant, fit_logistic
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from PIL import Image

NEIGHBOURS = Baseline(name="features + nearest neighbours", needs="features")

PIXELS, SCALE, SHIFT = "pixel_values", "scale", "shift"
"""Fields of a row: its picture, and where that is stored as bytes what makes the model's numbers of them:
pixels * scale + shift, by channel."""
_UNVARIED: Mapping[str, Any] = {"augmentation": "none", "mixup_alpha": 0, "smallest_crop": 1, "mirror_share": 0}
"""The recipe's keys, and their values under which training pictures stay as they are."""

_SHOWN_PIXELS = 96
_BATCH_ROWS = 32
_MOST_BYTES_IN_MEMORY = 256 * 2**20
"""Larger arrays are written to a temporary file: memory stays bounded, whatever the number of rows."""
_EXACT = 1e-4
_STRENGTHS = (0.001, 0.01, 0.1, 1.0)
_NEIGHBOURS = (1, 3, 5, 10, 20)


class ImageClassification(Classification):
    name = "image-classification"
    head = "image-classification"
    pipeline = "image-classification"
    variations = frozenset({"trivial", "mixup", "crop", "mirror"})

    def encode(self, table: pa.Table, schema: Schema, processor: Any, limits: Mapping[str, int]) -> dict[str, Field]:
        """Every picture decoded once and resized as the checkpoint wants it; kept as bytes where that loses nothing.

        On disk and in the cache a row of 224 x 224 pixels takes 150 kB as bytes, four times that as numbers.
        """
        paths = [str(path or "") for path in table.column(schema.inputs[0]).to_pylist()]
        offsets = np.arange(len(paths) + 1, dtype=np.int64)
        scaling: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        pixels: NDArray[Any] | None = None
        for start in range(0, len(paths), _BATCH_ROWS):
            pictures = [read_rgb(path, schema.levels) for path in paths[start : start + _BATCH_ROWS]]
            if pixels is None:
                scaling = _scaling(processor, pictures)
            batch = _processed(processor, pictures, as_bytes=scaling is not None)
            if pixels is None:
                pixels = _room((len(paths), *batch.shape[1:]), batch.dtype)
            pixels[start : start + len(batch)] = batch
        assert pixels is not None, "a part without rows cannot be encoded"
        fields: dict[str, Field] = {PIXELS: (pixels, offsets)}
        for name, values in zip((SCALE, SHIFT), scaling or (), strict=False):
            fields[name] = (np.repeat(values[None], len(paths), axis=0), offsets)
        return fields

    def brought(self, rows: DataRows, schema: Schema) -> tuple[DataRows, dict[int, str]]:
        return located_images(rows, schema.inputs[0])

    def unreadable(self, table: pa.Table, schema: Schema) -> dict[int, str]:
        looks = look_at_all(table.column(schema.inputs[0]).to_pylist())
        return {place: look.problem for place, look in enumerate(looks) if look.problem is not None}

    def located(self, table: pa.Table, schema: Schema, folder: Path) -> pa.Table:
        name = schema.inputs[0]
        if name not in table.column_names:
            return table
        return table.set_column(table.column_names.index(name), name, absolute_paths(table.column(name), folder))

    def file_column(self, schema: Schema) -> str | None:
        return schema.inputs[0]

    def collate(
        self,
        rows: Sequence[Mapping[str, NDArray[Any]]],
        labels: NDArray[np.int64] | None,
        padding: Mapping[str, int],
    ) -> dict[str, torch.Tensor]:
        import torch

        batch = {name: torch.from_numpy(np.concatenate([row[name] for row in rows])) for name in rows[0]}
        if labels is not None:
            batch["labels"] = torch.from_numpy(np.ascontiguousarray(labels))
        return batch

    def unpack(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Bytes become the model's numbers here: as bytes they are a fourth to move, and a GPU scales in no time."""
        packed = dict(batch)
        pixels = packed.pop(PIXELS).float()
        if SCALE in packed:
            pixels = pixels * packed.pop(SCALE)[:, :, None, None] + packed.pop(SHIFT)[:, :, None, None]
        return {PIXELS: pixels, **packed}

    def is_augmented(self, recipe: Mapping[str, Any]) -> bool:
        return any(recipe.get(key, unvaried) != unvaried for key, unvaried in _UNVARIED.items())

    def augment(
        self, batch: dict[str, torch.Tensor], recipe: Mapping[str, Any], generators: Generators
    ) -> dict[str, torch.Tensor]:
        import torch

        from automl.tasks.picture_variation import DRAWS, cropped, mirrored, vary

        says = {**_UNVARIED, **recipe}
        draws = torch.from_numpy(np.stack([generator.random(DRAWS, np.float32) for generator in generators]))
        pixels = batch[PIXELS]
        if says["mirror_share"] > 0:
            pixels = mirrored(pixels, draws, says["mirror_share"])
        if says["smallest_crop"] < 1:
            pixels = cropped(pixels, draws, says["smallest_crop"])
        if says["augmentation"] == "trivial":
            pixels = vary(pixels, draws)
        return {**batch, PIXELS: pixels}

    def varied_inputs(
        self, table: pa.Table, schema: Schema, recipe: Mapping[str, Any], generators: Generators
    ) -> dict[str, list[tuple[Any, Any]]]:
        import torch
        from PIL import Image

        def shown(pixels: torch.Tensor) -> list[Image.Image]:
            as_bytes = (pixels * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
            return [Image.fromarray(picture) for picture in as_bytes]

        size = (_SHOWN_PIXELS, _SHOWN_PIXELS)
        paths = table.column(schema.inputs[0]).to_pylist()
        small = [np.asarray(read_rgb(path, schema.levels).resize(size)) for path in paths]
        plain = {PIXELS: torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255}
        varied = self.augment(plain, recipe, generators)
        if (share := self.mixed_share(recipe, generators[0])) is not None:
            varied = self.mix(varied, {PIXELS: varied[PIXELS].roll(1, dims=0)}, share)
        return {schema.inputs[0]: list(zip(shown(plain[PIXELS]), shown(varied[PIXELS]), strict=True))}

    def mixed_share(self, recipe: Mapping[str, Any], generator: np.random.Generator) -> float | None:
        """Drawn anew for each batch (Zhang et al. 2018, arXiv 1710.09412)."""
        alpha = recipe.get("mixup_alpha", 0)
        return float(generator.beta(alpha, alpha)) if alpha > 0 else None

    def mix(
        self, batch: dict[str, torch.Tensor], other: dict[str, torch.Tensor], share: float
    ) -> dict[str, torch.Tensor]:
        return {**batch, PIXELS: share * batch[PIXELS] + (1 - share) * other[PIXELS]}

    def baseline_inputs(self, table: pa.Table, schema: Schema) -> Sequence[Any]:
        paths: list[Any] = table.column(schema.inputs[0]).to_pylist()
        return paths

    def baselines(self) -> tuple[Baseline, ...]:
        return CONSTANT, NEIGHBOURS, FEATURES

    def fit_baseline(self, baseline: Baseline, schema: Schema, train: Rows, validation: Rows, seed: int) -> Any:
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.preprocessing import StandardScaler

        if baseline == CONSTANT:
            return fit_constant(train)
        if baseline == FEATURES:
            return fit_logistic(StandardScaler(), _STRENGTHS, train, validation, seed)

        def fit(count: int, inputs: Any) -> Any:
            return KNeighborsClassifier(count, weights="distance", metric="cosine").fit(inputs, train[1])

        counts = [count for count in _NEIGHBOURS if count <= len(train[1])]
        return choose(StandardScaler(), counts, fit, train, validation)


def _processed(processor: Any, pictures: Sequence[Image.Image], as_bytes: bool) -> NDArray[Any]:
    """The processor's pictures, shape (rows, channels, height, width): resized bytes, or the model's numbers."""
    options = {"do_rescale": False, "do_normalize": False} if as_bytes else {}
    found: NDArray[Any] = np.asarray(processor(images=list(pictures), return_tensors="np", **options)[PIXELS])
    return found if as_bytes else found.astype(np.float32)


def _scaling(
    processor: Any, pictures: Sequence[Image.Image]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Scale and shift by channel that make the model's numbers of resized bytes; None where nothing simple does.

    Read off a black and a white picture, and checked on real ones: a processor may do what its config does not say.
    """
    from PIL import Image

    size = pictures[0].size
    plain = [Image.new("RGB", size, colour) for colour in ("black", "white")]
    numbers = _processed(processor, plain, as_bytes=False)
    middle = numbers[:, :, numbers.shape[2] // 2, numbers.shape[3] // 2]
    shift = middle[0].astype(np.float32)
    scale = ((middle[1] - middle[0]) / 255).astype(np.float32)
    as_bytes = _processed(processor, pictures, as_bytes=True)
    if as_bytes.dtype != np.uint8:
        return None
    made = as_bytes * scale[:, None, None] + shift[:, None, None]
    exact = np.abs(made - _processed(processor, pictures, as_bytes=False)).max() <= _EXACT
    return (scale, shift) if exact else None


def _room(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array to fill: in memory, or, where it is large, in a file that is gone when nothing uses it any more."""
    if int(np.prod(shape)) * np.dtype(dtype).itemsize <= _MOST_BYTES_IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)
