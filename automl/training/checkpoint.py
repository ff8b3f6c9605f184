"""The state of a training in the middle: model, optimizer, place in the data.

There are no random streams to keep: whatever is random is drawn by the place in the training.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automl.training.optimizer import BlockwiseOptimizer
from automl.training.sharding import cut_like, whole

MOST_DISK_SHARE = 0.5
"""Checkpoints of unfinished trainings take at most this share of the space that is free without them."""


def save_checkpoint(
    file: Path, model: nn.Module, optimizer: BlockwiseOptimizer, state: dict[str, Any], rank: int = 0
) -> bool:
    """Write everything that a bit-exact continuation needs, whole or not at all; whether there was room for it.

    A checkpoint saves time where a process dies, and is never worth a full disk: without room the last one stays.
    Of several workers rank 0 writes it; all call this where the model is in shards, which are put together for it.
    """
    learning = {name: value for name, value in model.named_parameters() if value.requires_grad}
    values = {
        **state,
        "parameters": {name: value.detach() for name, value in learning.items()},
        "buffers": dict(model.named_buffers()),
        "optimizer": optimizer.state_dict(),
    }
    values = whole(values, keep=rank == 0)
    if rank > 0:
        return True
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    if not has_room(file.parent, _bytes(values)):
        return False
    try:
        torch.save(values, temporary)
        os.replace(temporary, file)
    except (OSError, RuntimeError):  # torch tells of a full disk by a RuntimeError of its own
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        return False
    return True


def has_room(directory: Path, needed: int) -> bool:
    """Whether so many bytes more keep all checkpoints within their share of the disk."""
    held = sum(file.stat().st_size for file in directory.glob("*.resume.pt*"))
    free = shutil.disk_usage(directory).free
    return held + needed <= (free + held) * MOST_DISK_SHARE


def _bytes(values: Any) -> int:
    """Bytes of all tensors in a nest of dicts and lists."""
    if isinstance(values, torch.Tensor):
        return values.numel() * values.element_size()
    inner = values.values() if isinstance(values, dict) else values if isinstance(values, list | tuple) else ()
    return sum(_bytes(value) for value in inner)


def load_checkpoint(
    file: Path, model: nn.Module, optimizer: BlockwiseOptimizer, device: torch.device, sharded: bool = False
) -> dict[str, Any] | None:
    """Put a stored state back and return what `save_checkpoint` was given; None where there is none.

    device: to which the stored values are read. sharded: of each this worker needs a part, and reads no more.
    """
    if not file.exists():
        return None
    place = torch.device("cpu") if sharded else device
    values: dict[str, Any] = torch.load(file, map_location=place, weights_only=True, mmap=sharded)
    optimizer.load_state_dict(values["optimizer"])
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    with torch.no_grad():
        for name, value in values["parameters"].items():
            parameters[name].copy_(cut_like(value, parameters[name]))
        for name, value in values["buffers"].items():
            buffers[name].copy_(value)
    return values
