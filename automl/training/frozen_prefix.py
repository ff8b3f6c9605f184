"""Activations of the blocks that never learn, computed once and read by every later epoch and trial.

Exact because the frozen blocks stay in eval mode and their inputs do not vary; activations are kept in the block's
own output dtype. A store is named after all that its values hang on (`StoreKey`), so it is never read for something
else. Where all rows are equally long nothing moves, to the bit. Else rows are padded with other rows when they are
stored than when they are trained on, and results move by rounding: of all-MiniLM-L6-v2 on questions of trec, after 3
epochs, probabilities by 4e-8 at most in float32 and by 2e-4 in bfloat16, and no answer.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.models.blocks import Blocks
from automl.storage.bundle import build_once
from automl.tasks.base import Task
from automl.training.encoded import EncodedPart, sorted_batches
from automl.training.process import batch_on_device, to_device
from automl.types import Part

QUOTA_BYTES = 8 * 2**30
"""Most that all stores of a run may hold; a new one also takes never more than a fifth of the free disk."""

_BUILD_ROWS = 64
_AS_NUMPY = {
    torch.float32: (np.float32, None),
    torch.bfloat16: (np.int16, torch.int16),
    torch.float16: (np.float16, None),
}


@dataclass(frozen=True)
class StoredActivations:
    """Activations of all rows end to end, shape (positions, *item), ragged like the encoded part.

    Of text an item is one position's vector; of a picture it is the block's whole output.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]
    dtype: torch.dtype
    ragged: bool

    def batch(self, indices: NDArray[np.int64], device: torch.device) -> Tensor:
        """What the block put out for these rows: (rows, longest, width), zero where a row is shorter, or items."""
        if not self.ragged:
            return to_device(torch.from_numpy(np.ascontiguousarray(self.values[indices])), device).view(self.dtype)
        longest = int(np.diff(self.offsets)[indices].max())
        filled = np.zeros((len(indices), longest, *self.values.shape[1:]), dtype=self.values.dtype)
        for place, index in enumerate(indices):
            row = self.values[self.offsets[index] : self.offsets[index + 1]]
            filled[place, : len(row)] = row
        return to_device(torch.from_numpy(filled), device).view(self.dtype)


@dataclass(frozen=True, kw_only=True)
class StoreKey:
    """All that stored values hang on, beside the depth, the precision and the libraries.

    checkpoint: its revision, which covers weights, config and the processor's files. data: fingerprint of the
    split. preprocessing: what else decides how a row becomes numbers, such as its greatest length.
    """

    checkpoint: str
    data: str
    part: Part
    preprocessing: Mapping[str, Any]


class NotStored(Exception):
    """Activations are computed anew each time, and why."""


def refuse_too_large(needed_bytes: int, run_cache: Path) -> None:
    """Raises NotStored where so many bytes more are over the quota of a run, or over a fifth of the free disk.

    run_cache: the run's folder of caches, one folder a contender.
    """
    held = 0
    for file in run_cache.glob("*/*prefix-*/values.npy"):
        try:
            held += file.stat().st_size
        except FileNotFoundError:  # another process finished it, and gave it its name, just now
            continue
    allowed = min(QUOTA_BYTES - held, shutil.disk_usage(run_cache).free // 5)
    if needed_bytes > allowed:
        raise NotStored(
            f"{needed_bytes / 2**30:.1f} GiB of activations exceed the quota: {allowed / 2**30:.1f} GiB are left"
        )


def store_activations(
    directory: Path,
    key: StoreKey,
    part: EncodedPart,
    blocks: Blocks,
    depth: int,
    task: Task,
    padding: dict[str, int],
    device: torch.device,
    autocast: torch.dtype | None,
) -> StoredActivations:
    """Output of block `depth` for every row of a part, computed on first use. directory: the contender's cache.

    Raises NotStored before anything is stored.
    """
    precision = "float32" if autocast is None else str(autocast).removeprefix("torch.")
    libraries = {name: version(name) for name in ("torch", "transformers")}
    whole = asdict(key) | {"depth": depth, "precision": precision, "device": device.type, **libraries}
    described = json.dumps(whole, sort_keys=True)

    def build(target: Path) -> None:
        blocks.model.eval()
        store: np.memmap[Any, Any] | None = None
        offsets = part.offsets
        for indices in sorted_batches(part.lengths, _BUILD_ROWS):
            batch = batch_on_device(task, part.rows(indices), None, padding, device)
            with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
                output = blocks.run_until(depth, batch).cpu().contiguous()
            kind, view = _AS_NUMPY[output.dtype]
            array = (output if view is None else output.view(view)).numpy()
            if store is None:
                shape = (int(offsets[-1]), *array.shape[2 if part.ragged else 1 :])
                with filelock.FileLock(
                    directory.parent / "prefix-quota.lock"
                ):  # two that fit one by one may not both
                    refuse_too_large(int(np.prod(shape)) * array.itemsize, directory.parent)
                    store = np.lib.format.open_memmap(target / "values.npy", mode="w+", dtype=kind, shape=shape)
                (target / "key.json").write_text(described)
                (target / "dtype.json").write_text(json.dumps(str(output.dtype).removeprefix("torch.")))
            if not part.ragged:
                store[indices] = array
                continue
            for place, index in enumerate(indices):
                start, stop = offsets[index], offsets[index + 1]
                store[start:stop] = array[place, : stop - start]
        assert store is not None
        store.flush()

    digest = hashlib.sha256(described.encode()).hexdigest()
    folder = directory / f"prefix-{depth}-{key.part}-{digest[:16]}"
    directory.mkdir(parents=True, exist_ok=True)
    build_once(folder, build)
    dtype = getattr(torch, json.loads((folder / "dtype.json").read_text()))
    values = np.load(folder / "values.npy", mmap_mode="r")
    return StoredActivations(values=values, offsets=part.offsets, dtype=dtype, ragged=part.ragged)
