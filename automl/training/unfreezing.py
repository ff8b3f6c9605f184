"""Which blocks learn when, and how fast: five numbers against the fixed horizon.

With progress p in [0, 1) of the horizon, and blocks 0 (stem), 1..L (layers), L + 1 (head):

    f    share of the body that never learns: blocks 0..floor(f L) when f > 0
    h    while p < h only the head learns
    g    during h <= p < h + g the layers are released from the top down; g = 0 releases all at once
    rho  learning rate of the bottom block over the head's; block l gets rho ** ((L + 1 - l) / (L + 1))
    c    factor on the learning rate right after a release, growing back to 1 within REWARM_SHARE

They mean the same for every model: shares of its depth, of its training, of its head's rate. `mode_of` names
the points of this space that the literature has names for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automl.training.recipe import Recipe

REWARM_SHARE = 0.03


def mode_of(recipe: Mapping[str, Any]) -> str:
    """What the literature calls this way of unfreezing, such as "LP-FT, bottom 50% frozen".

    linear probe: f = 1. whole model: full fine-tuning, every block from the start and at one rate. layer-wise
    decay: the same with rho < 1. LP-FT: first the head, then all (h > 0; Kumar et al., ICLR 2022). gradual
    unfreezing: from the top down (g > 0); with rho < 1 ULMFiT-like (Howard and Ruder 2018).
    """
    if recipe["frozen_share"] >= 1:
        return "linear probe"
    decays = recipe["bottom_lr_ratio"] < 1
    if recipe["release_share"] > 0:
        name = "ULMFiT-like" if decays else "gradual unfreezing"
    elif recipe["head_only_share"] > 0:
        name = "LP-FT with layer-wise decay" if decays else "LP-FT"
    else:
        name = "layer-wise decay" if decays else "whole model"
    frozen = recipe["frozen_share"]
    return f"{name}, bottom {frozen:.0%} frozen" if frozen > 0 else name


@dataclass(frozen=True)
class Unfreezing:
    """The schedule of one training of a model with `depth` layers."""

    recipe: Recipe
    depth: int

    @property
    def frozen_depth(self) -> int | None:
        """The last block that never learns (its output can be stored), or None."""
        share = self.recipe.frozen_share
        return math.floor(share * self.depth) if share > 0 else None

    def first_learning_block(self, progress: float) -> int:
        """Blocks from here to the head learn at this progress; those below are frozen."""
        recipe, head = self.recipe, self.depth + 1
        bottom = 0 if self.frozen_depth is None else self.frozen_depth + 1
        if progress < recipe.head_only_share:
            return head
        if progress < recipe.head_only_share + recipe.release_share:
            layers = self.depth if self.frozen_depth is None else self.depth - self.frozen_depth
            done = (progress - recipe.head_only_share) / recipe.release_share
            return max(head - math.ceil(layers * done + 1e-9), bottom, 1)
        return bottom

    def learning_rate_ratio(self, block: int) -> float:
        """The block's share of the head's learning rate, at its release and after."""
        top = self.depth + 1
        return float(self.recipe.bottom_lr_ratio ** ((top - block) / top))

    def factor(self, progress: float, last_release: float | None) -> float:
        """What the peak learning rate is multiplied with: warm-up, linear decay, re-warm-up after a release.

        last_release: progress at which blocks were last released, None while nothing was.
        """
        warmup = self.recipe.warmup_share
        value = progress / warmup if progress < warmup else (1.0 - progress) / (1.0 - warmup)
        if last_release is not None and self.recipe.release_lr_scale < 1:
            grown = min(1.0, (progress - last_release) / REWARM_SHARE)
            value *= self.recipe.release_lr_scale + (1 - self.recipe.release_lr_scale) * grown
        return max(value, 0.0)
