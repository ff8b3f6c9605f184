"""Gradients of one global batch: this worker's share of it, under autocast, its inputs varied by their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.tasks.base import Task
from automl.training.context import Context


class GradientStep:
    """What turns row numbers into gradients. make_batch: rows to a batch on the device, with labels."""

    def __init__(
        self,
        task: Task,
        recipe: Mapping[str, Any],
        make_batch: Callable[[NDArray[np.int64]], dict[str, Tensor]],
        context: Context,
        autocast: torch.dtype | None,
        seed: int,
    ) -> None:
        self._task, self._recipe, self._make_batch = task, recipe, make_batch
        self._context, self._autocast, self._seed = context, autocast, seed

    def backward(self, wrapped: nn.Module, indices: NDArray[np.int64], seen: int) -> float:
        """Gradients of one global batch; the mean loss of this worker's share of it. seen: samples before it."""
        rank, world = self._context.rank, self._context.world
        own = indices[rank::world]
        if len(own) == 0:  # a worker without a row still takes part in the exchange of gradients
            own, weight = indices[:1], 0.0
        else:
            weight = len(own) * world / len(indices)
        # by the place in the training: what is resumed varies its inputs as if it had never stopped
        varying = torch.Generator().manual_seed((self._seed << 32) + seen * world + rank)
        batch = self._task.augment(self._make_batch(own), self._recipe, varying)
        labels = batch.pop("labels")
        with torch.autocast(self._context.device.type, self._autocast, enabled=self._autocast is not None):
            loss = self._task.loss(wrapped(**batch), labels, self._recipe)
        (loss * weight if weight != 1.0 else loss).backward()
        return float(loss.detach())
