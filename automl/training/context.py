"""What the loop is told of the world it runs in, and what it tells it. It knows neither Ray nor the search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Report:
    """One evaluation. `rung` is the rung's samples when it is one, else None.

    earlier: the rows before this one; a driver that took over after a crash has not heard of those that a
    checkpoint brought along.
    notes, micro_batch: as they stand by now, because a training that is stopped says nothing more.
    """

    row: dict[str, Any]
    rung: int | None
    value: float
    error: float
    earlier: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    micro_batch: int | None = None


@dataclass
class Outcome:
    """What a whole training leaves."""

    metrics: dict[str, float] = field(default_factory=dict)
    predictions_file: str | None = None
    model_dir: str | None = None
    parameters: int = 0
    trainable_parameters: int = 0
    notes: list[str] = field(default_factory=list)


class Context(Protocol):
    """What the loop is told of the world it runs in."""

    rank: int
    world: int
    device: torch.device

    @property
    def leaving(self) -> bool:
        """Whether this machine is about to be taken away: what is not saved soon is lost."""

    def report(self, report: Report) -> None:
        """Hand an evaluation on; does not return when the training is to stop. Every rank calls it."""

    def add_up(self, values: Tensor) -> None:
        """Replace a tensor on the device by the sum over all workers; every worker calls it, in the same order."""
