"""Remedies for classes of very unequal size. They act on the training alone: predictions are never shifted.

A recipe's `imbalance` is one of

    none               every row counts alike
    logit_adjust       log shares of the classes, times tau, are added to the logits in the loss: the model has to
                       outdo them, so that its own logits rank classes as if all were of one size (Menon et al.,
                       ICLR 2021, arXiv 2007.07314)
    class_balanced     a row weighs the inverse of its class's effective number of rows, (1 - beta^n) / (1 - beta)
                       (Cui et al., CVPR 2019, arXiv 1901.05555)
    balanced_sampler   every class comes equally often in an epoch, which has as many rows as before
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

IMBALANCE = "imbalance"
"""The key of a recipe; without it, `none`."""
TAU, BETA = 1.0, 0.999
"""What a recipe that does not say `logit_adjust_tau` or `class_balanced_beta` gets."""

Floats = NDArray[np.float32]


def class_offsets(counts: NDArray[np.int64], recipe: Mapping[str, Any]) -> Floats | None:
    """What is added to the logits in the loss, shape (classes,); None where nothing is.

    counts: training rows of every class. A class without any counts as one row.
    """
    if recipe.get(IMBALANCE) != "logit_adjust":
        return None
    shares = np.maximum(counts, 1) / counts.sum()
    return np.asarray(recipe.get("logit_adjust_tau", TAU) * np.log(shares), dtype=np.float32)


def class_weights(counts: NDArray[np.int64], recipe: Mapping[str, Any]) -> Floats | None:
    """What a row of each class weighs, shape (classes,), 1 in the mean over the rows; None where all weigh alike.

    So scaled, a learning rate means the same with and without weights.
    """
    if recipe.get(IMBALANCE) != "class_balanced":
        return None
    beta = recipe.get("class_balanced_beta", BETA)
    weights = (1.0 - beta) / (1.0 - beta ** np.maximum(counts, 1))
    return np.asarray(weights * counts.sum() / (weights * counts).sum(), dtype=np.float32)


def is_sampled_evenly(recipe: Mapping[str, Any]) -> bool:
    """Whether an epoch draws every class equally often."""
    return bool(recipe.get(IMBALANCE) == "balanced_sampler")
