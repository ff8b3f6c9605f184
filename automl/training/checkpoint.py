"""The state of a training in the middle: model, optimizer, place in the data.

There are no random streams to keep: whatever is random is drawn by the place in the training.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automl.training.optimizer import BlockwiseOptimizer


def save_checkpoint(file: Path, model: nn.Module, optimizer: BlockwiseOptimizer, state: dict[str, Any]) -> None:
    """Write everything that a bit-exact continuation needs, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    learning = {name: value for name, value in model.named_parameters() if value.requires_grad}
    values = {
        **state,
        "parameters": {name: value.detach() for name, value in learning.items()},
        "buffers": dict(model.named_buffers()),
        "optimizer": optimizer.state_dict(),
    }
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    torch.save(values, temporary)
    os.replace(temporary, file)


def load_checkpoint(
    file: Path, model: nn.Module, optimizer: BlockwiseOptimizer, device: torch.device
) -> dict[str, Any] | None:
    """Put a stored state back and return what `save_checkpoint` was given; None where there is none."""
    if not file.exists():
        return None
    values: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    optimizer.load_state_dict(values["optimizer"])
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    with torch.no_grad():
        for name, value in values["parameters"].items():
            parameters[name].copy_(value)
        for name, value in values["buffers"].items():
            buffers[name].copy_(value)
    return values
