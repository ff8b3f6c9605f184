"""Metrics of class probabilities: name, direction, unit, function. No torch here."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.errors import RequestError

Labels = NDArray[np.int64]
Scores = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number that judges predictions.

    score(labels, predictions): labels has shape (rows,) of class indices, predictions (rows, classes) of
    probabilities. `points` is the factor that turns a value into what people call points (100 for shares).
    `per_item`: whether the score is the mean of one value a row, which pairs contenders row by row.
    """

    name: str
    higher_is_better: bool
    score: Callable[[Labels, Scores], float]
    points: float = 100.0
    per_item: bool = False
    title: str = ""

    def better(self, one: float, other: float) -> bool:
        return one > other if self.higher_is_better else one < other

    @property
    def worst(self) -> float:
        return float("-inf") if self.higher_is_better else float("inf")


def _accuracy(labels: Labels, probabilities: Scores) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def _macro_f1(labels: Labels, probabilities: Scores) -> float:
    """Mean over the classes present in labels or predictions; numpy, for bootstraps of thousands."""
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    confusion = np.bincount(labels * classes + predicted, minlength=classes * classes)
    confusion = confusion.reshape(classes, classes)
    hits, total = np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
    present = total > 0
    return float((2 * hits[present] / total[present]).mean())


def _balanced_accuracy(labels: Labels, probabilities: Scores) -> float:
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    rows = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    return float((hits[rows > 0] / rows[rows > 0]).mean())


def _matthews(labels: Labels, probabilities: Scores) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, probabilities.argmax(axis=1)))


def _auroc(labels: Labels, probabilities: Scores) -> float:
    """One-vs-rest, macro mean over the classes present; NaN where only one class is present."""
    from sklearn.metrics import roc_auc_score

    present = np.unique(labels)
    if len(present) < 2:
        return float("nan")
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in present]))


def _log_loss(labels: Labels, probabilities: Scores) -> float:
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(chosen, 1e-7, 1.0)).mean())


CLASSIFICATION = {
    metric.name: metric
    for metric in (
        Metric(name="accuracy", higher_is_better=True, score=_accuracy, per_item=True, title="accuracy"),
        Metric(name="macro_f1", higher_is_better=True, score=_macro_f1, title="macro F1"),
        Metric(
            name="balanced_accuracy",
            higher_is_better=True,
            score=_balanced_accuracy,
            title="balanced accuracy",
        ),
        Metric(name="mcc", higher_is_better=True, score=_matthews, title="Matthews correlation"),
        Metric(name="auroc", higher_is_better=True, score=_auroc, title="AUROC (one against the rest)"),
        Metric(
            name="log_loss",
            higher_is_better=False,
            score=_log_loss,
            points=1.0,
            per_item=True,
            title="log loss",
        ),
    )
}
METRICS = dict(CLASSIFICATION)


def get_metric(name: str) -> Metric:
    """The metric of that name. Raises RequestError with near misses."""
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Choose one of them with --metric"
    raise RequestError(f"metric {name!r} is unknown", f"one of {', '.join(METRICS)}", hint)
