"""Predictions of a model over an encoded part, and what they are worth."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl.metrics import Metric, get_metric
from automl.tasks.base import Task
from automl.training.encoded import EncodedPart, sorted_batches

EVALUATION_ROWS = 64
_RESAMPLES = 100


def predict_rows(
    model: nn.Module,
    part: EncodedPart,
    task: Task,
    make_batch: Callable[[EncodedPart, NDArray[np.int64]], dict[str, torch.Tensor]],
    device: torch.device,
    autocast: torch.dtype | None,
    tick: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Predictions in the order of the rows; the model is left in eval mode."""
    model.eval()
    found: NDArray[np.float32] | None = None
    for indices in sorted_batches(part.lengths, EVALUATION_ROWS):
        batch = make_batch(part, indices)
        batch.pop("labels", None)
        with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
            predictions = task.predict(model(**batch))
        if found is None:
            found = np.zeros((len(part), *predictions.shape[1:]), dtype=np.float32)
        found[indices] = predictions
        tick()
    assert found is not None, "a part without rows cannot be predicted"
    return found


def score_rows(
    labels: NDArray[np.int64], predictions: NDArray[np.float32], metrics: tuple[str, ...]
) -> dict[str, float]:
    """Every metric that is a finite number on these rows."""
    values = {name: get_metric(name).score(labels, predictions) for name in metrics}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def standard_error(
    labels: NDArray[np.int64], predictions: NDArray[np.float32], metric: Metric, seed: int = 0
) -> float:
    """Bootstrap standard error of a metric over rows: below it, two values at a rung count as tied."""
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(_RESAMPLES):
        rows = generator.integers(len(labels), size=len(labels))
        values.append(metric.score(labels[rows], predictions[rows]))
    return float(np.nanstd(values))
