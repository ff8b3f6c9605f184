"""Activations of the blocks that never learn, computed once and read by every later epoch and trial.

Exact because the frozen blocks stay in eval mode and text inputs are deterministic; activations are kept in the
block's own output dtype. Padding differs between batches, which moves results at the level of float rounding.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.models.blocks import Blocks
from automl.tasks.base import Task
from automl.training.encoded import EncodedPart, build_once, sorted_batches

QUOTA_BYTES = 8 * 2**30
"""Largest store of one part; also never more than a fifth of the free disk."""

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
            return torch.from_numpy(np.ascontiguousarray(self.values[indices])).to(device).view(self.dtype)
        longest = int(np.diff(self.offsets)[indices].max())
        filled = np.zeros((len(indices), longest, *self.values.shape[1:]), dtype=self.values.dtype)
        for place, index in enumerate(indices):
            row = self.values[self.offsets[index] : self.offsets[index + 1]]
            filled[place, : len(row)] = row
        return torch.from_numpy(filled).to(device).view(self.dtype)


class TooLarge(Exception):
    """Activations would not fit into the quota."""


def refuse_too_large(needed_bytes: int, directory: Path) -> None:
    """Raises TooLarge when so many bytes are over the quota or over a fifth of the free disk."""
    if needed_bytes > min(QUOTA_BYTES, shutil.disk_usage(directory).free // 5):
        raise TooLarge(f"{needed_bytes / 2**30:.1f} GiB of activations exceed the quota")


def store_activations(
    directory: Path,
    name: str,
    part: EncodedPart,
    blocks: Blocks,
    depth: int,
    task: Task,
    padding: dict[str, int],
    device: torch.device,
    autocast: torch.dtype | None,
) -> StoredActivations:
    """Output of block `depth` for every row of a part, computed on first use. directory: the contender's cache.

    Raises TooLarge before anything is stored.
    """

    def build(target: Path) -> None:
        blocks.model.eval()
        store: np.memmap[Any, Any] | None = None
        offsets = part.offsets
        for indices in sorted_batches(part.lengths, _BUILD_ROWS):
            batch = {k: v.to(device) for k, v in task.collate(part.rows(indices), None, padding).items()}
            with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
                output = blocks.run_until(depth, batch).cpu().contiguous()
            kind, view = _AS_NUMPY[output.dtype]
            array = (output if view is None else output.view(view)).numpy()
            if store is None:
                shape = (int(offsets[-1]), *array.shape[2 if part.ragged else 1 :])
                refuse_too_large(int(np.prod(shape)) * array.itemsize, directory)
                store = np.lib.format.open_memmap(target / "values.npy", mode="w+", dtype=kind, shape=shape)
                (target / "dtype.json").write_text(json.dumps(str(output.dtype).removeprefix("torch.")))
            if not part.ragged:
                store[indices] = array
                continue
            for place, index in enumerate(indices):
                start, stop = offsets[index], offsets[index + 1]
                store[start:stop] = array[place, : stop - start]
        assert store is not None
        store.flush()

    precision = "float32" if autocast is None else str(autocast).removeprefix("torch.")
    folder = directory / f"prefix-{depth}-{precision}-{name}"
    directory.mkdir(parents=True, exist_ok=True)
    build_once(folder, build)
    dtype = getattr(torch, json.loads((folder / "dtype.json").read_text()))
    values = np.load(folder / "values.npy", mmap_mode="r")
    return StoredActivations(values=values, offsets=part.offsets, dtype=dtype, ragged=part.ragged)
