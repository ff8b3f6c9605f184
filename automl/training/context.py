"""What the loop is told of the world it runs in, and what it tells it. It knows neither Ray nor the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn


@dataclass(frozen=True)
class Report:
    """One evaluation. `rung` is the rung's samples when it is one, else None."""

    row: dict[str, Any]
    rung: int | None
    value: float
    error: float


class Context(Protocol):
    """What the loop is told of the world it runs in."""

    rank: int
    world: int
    device: torch.device

    def report(self, report: Report) -> None:
        """Hand an evaluation on; does not return when the training is to stop. Every rank calls it."""

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it computes gradients over all workers."""
