"""One point of a search space, read and checked: all the hyperparameters of one training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

REFERENCE_BATCH = 16
"""Learning rates are searched as if every batch had this size."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters of one training. Shares are of the horizon, so that they mean the same for every model.

    learning_rate: peak, at the reference batch; `step_learning_rate` is what the optimizer gets.
    frozen_share f, head_only_share h, release_share g, bottom_lr_ratio rho, release_lr_scale c: see
    unfreezing.py.
    optimizer: 'adamw' or 'sgd', which alone has a momentum.
    """

    learning_rate: float
    batch_size: int
    weight_decay: float
    dropout: float
    head_dropout: float
    frozen_share: float
    head_only_share: float
    release_share: float
    bottom_lr_ratio: float
    release_lr_scale: float
    warmup_share: float
    label_smoothing: float
    gradient_clip: float
    optimizer: str = "adamw"
    momentum: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From a recipe as plain JSON; keys of the task or the adaptation are not looked at."""
        needed = (f.name for f in fields(cls) if f.default is MISSING or f.name in values)
        return cls(**{name: values[name] for name in needed})

    @property
    def step_learning_rate(self) -> float:
        """The peak rate at this batch size: SGD's follows it, Adam's its square root.

        Source: Goyal et al., arXiv 1706.02677; Malladi et al., arXiv 2205.10287.
        """
        times = self.batch_size / REFERENCE_BATCH
        return self.learning_rate * (times if self.optimizer == "sgd" else math.sqrt(times))
