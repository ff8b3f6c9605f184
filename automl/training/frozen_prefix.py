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
    """Activations of all rows end to end, shape (positions, width), ragged like the encoded part."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]
    dtype: torch.dtype

    def batch(self, indices: NDArray[np.int64], device: torch.device) -> Tensor:
        """Shape (rows, longest, width), zero where a row is shorter."""
        longest = int(np.diff(self.offsets)[indices].max())
        filled = np.zeros((len(indices), longest, self.values.shape[1]), dtype=self.values.dtype)
        for place, index in enumerate(indices):
            row = self.values[self.offsets[index] : self.offsets[index + 1]]
            filled[place, : len(row)] = row
        return torch.from_numpy(filled).to(device).view(self.dtype)


def why_not_stored(part: EncodedPart, width: int, directory: Path) -> str | None:
    """The reason for which activations of this part are not stored, or None."""
    needed = int(part.offsets[-1]) * width * 4
    free = shutil.disk_usage(directory).free
    if needed > min(QUOTA_BYTES, free // 5):
        return f"{needed / 2**30:.1f} GiB of activations exceed the quota"
    return None


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
    """Output of block `depth` for every row of a part, computed on first use. directory: the contender's cache."""

    def build(target: Path) -> None:
        blocks.model.eval()
        store: np.memmap[Any, Any] | None = None
        offsets = part.offsets
        for indices in sorted_batches(part.lengths, _BUILD_ROWS):
            batch = {k: v.to(device) for k, v in task.collate(part.rows(indices), None, padding).items()}
            with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
                output = blocks.run_until(depth, batch).cpu()
            kind, view = _AS_NUMPY[output.dtype]
            array = (output if view is None else output.view(view)).numpy()
            if store is None:
                shape = (int(offsets[-1]), array.shape[-1])
                store = np.lib.format.open_memmap(target / "values.npy", mode="w+", dtype=kind, shape=shape)
                (target / "dtype.json").write_text(json.dumps(str(output.dtype).removeprefix("torch.")))
            for place, index in enumerate(indices):
                start, stop = offsets[index], offsets[index + 1]
                store[start:stop] = array[place, : stop - start]
        assert store is not None
        store.flush()

    precision = "float32" if autocast is None else str(autocast).removeprefix("torch.")
    folder = directory / f"prefix-{depth}-{precision}-{name}"
    build_once(folder, build)
    dtype = getattr(torch, json.loads((folder / "dtype.json").read_text()))
    return StoredActivations(
        values=np.load(folder / "values.npy", mmap_mode="r"), offsets=part.offsets, dtype=dtype
    )
