"""Predictions of a model over an encoded part, and what they are worth."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl.metrics import Metric, get_metric
from automl.tasks.base import Task
from automl.training.context import Context, Report
from automl.training.encoded import EncodedPart, sorted_batches
from automl.training.exchange import any_worker
from automl.training.memory import NotOneRow, RowsAtOnce, is_out_of_memory

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
    context: Context | None = None,
    at_once: RowsAtOnce | None = None,
    sharded: bool = False,
) -> NDArray[np.float32]:
    """Predictions in the order of the rows; the model is left in eval mode.

    context: of several workers, each predicts every so many-th batch, and all get all predictions; the batches
    are those of one worker, so the predictions are as well.
    at_once: rows per piece, halved where memory runs out. Raises NotOneRow where not even one row fits.
    sharded: every pass of the model is an exchange, so all workers make equally many: those with fewer rows predict
    one that is not asked for. Then memory may not run out: a MemoryError leaves the others waiting.
    """
    model.eval()
    context = context or Alone(device)
    at_once = at_once or RowsAtOnce(None, [])
    batches = sorted_batches(part.lengths, EVALUATION_ROWS)
    own = batches[context.rank :: context.world]
    one_row, none = batches[0][:1], batches[0][:0]
    if not own or (sharded and len(own) < math.ceil(len(batches) / context.world)):
        own = [*own, none]  # it tells a worker without a batch what predictions look like
    largest = [len(batch) if sharded else None for batch in batches[:: context.world]]
    shaped: NDArray[np.float32] | None = None
    problem: MemoryError | None = None

    def predict(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        batch = make_batch(part, rows if len(rows) else one_row)
        batch.pop("labels", None)
        # what is gathered in inference mode could not be learned with afterwards
        with (
            torch.no_grad() if sharded else torch.inference_mode(),
            torch.autocast(device.type, autocast, enabled=autocast is not None),
        ):
            return task.predict(model(**batch))[: len(rows)]

    try:
        for indices, most in zip(own, largest, strict=False):
            predictions = _in_pieces(predict, indices, at_once, most)
            if shaped is None:
                shaped = np.zeros((len(part), *predictions.shape[1:]), dtype=np.float32)
            shaped[indices] = predictions
            tick()
    except MemoryError as ran_out:
        if sharded:
            raise
        problem = ran_out
    if any_worker(context, problem is not None):
        raise NotOneRow(str(problem or "out of memory in evaluation, on another worker"))
    assert shaped is not None, "a part without rows cannot be predicted"
    if context.world == 1:
        return shaped
    everything = torch.from_numpy(shaped).to(device)
    context.add_up(everything)
    return everything.cpu().numpy()


def _in_pieces(
    predict: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    rows: NDArray[np.int64],
    at_once: RowsAtOnce,
    together: int | None,
) -> NDArray[np.float32]:
    """together: where all workers make equally many passes, the most rows that one of them has."""
    while True:
        try:
            return np.concatenate([predict(piece) for piece in at_once.split(rows, together or max(len(rows), 1))])
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            if together is not None:
                raise MemoryError(
                    "out of memory in evaluation, on one of the workers of a model in shards"
                ) from problem
        at_once.halve(len(rows), "in evaluation")


class Alone:
    """The context of the one worker, whose reports nobody reads."""

    rank, world, leaving = 0, 1, False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def report(self, report: Report) -> None:
        pass

    def add_up(self, values: torch.Tensor) -> None:
        pass


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


def save_predictions(file: Path, validation: NDArray[np.float32], test: NDArray[np.float32]) -> None:
    """Write predictions whole or not at all."""
    temporary = file.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, validation=validation, test=test)
    temporary.replace(file)
