"""How much a score would move with other test rows drawn from the same source.

Everything is put in one shape, the deviation matrix: shape (seeds, columns), where the dot product of two
seeds' rows is the covariance of their scores over test sets of this size. The columns are shared by all
rows of a board (test rows, or bootstrap draws of them), so the difference of two matrices belongs to the
difference of two scores, and pairing costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata

from automl.metrics import Labels, Metric, Scores

Floats = NDArray[np.float64]

DRAWS = 1_000
"""Bootstrap draws: the spread they give is within about 2% of what endless draws would."""

SLOW_DRAWS = 200
"""Draws for a metric that only its own function can compute."""

_FEW_CLASSES = 40


class TestDraws:
    """Bootstrap draws of the test rows, made once a board and shared by all of its rows."""

    __test__ = False  # a word of statistics here, not of pytest

    def __init__(self, rows: int, draws: int = DRAWS, seed: int = 0) -> None:
        self._rows, self._draws, self._seed = rows, draws, seed
        self._counts: NDArray[np.float32] | None = None
        self._drawn: tuple[Labels, Floats] | None = None

    @property
    def counts(self) -> NDArray[np.float32]:
        """How often each test row stands in each draw, shape (rows, draws)."""
        if self._counts is None:
            generator = np.random.default_rng(self._seed)
            chosen = generator.integers(0, self._rows, (self._draws, self._rows))
            chosen += np.arange(self._draws)[:, None] * self._rows
            flat = np.bincount(chosen.ravel(), minlength=self._draws * self._rows)
            by_draw = flat.reshape(self._draws, self._rows).astype(np.float32)
            self._counts = np.ascontiguousarray(by_draw.T)
        return self._counts

    def tally(self, kinds: NDArray[np.int64], classes: int) -> Floats:
        """Rows of each class in every draw, shape (lines, draws, classes); -1 counts nowhere.

        kinds: shape (lines, rows), a class number for each test row.
        """
        lines, rows = np.nonzero(kinds >= 0)
        places = lines * classes + kinds[lines, rows]
        shape = (len(kinds) * classes, self._rows)
        marks = sparse.csr_matrix((np.ones(len(rows), np.float32), (places, rows)), shape=shape)
        found = (marks.toarray() if classes <= _FEW_CLASSES else marks) @ self.counts
        return np.asarray(found, dtype=np.float64).reshape(len(kinds), classes, -1).transpose(0, 2, 1)

    def classes_drawn(self, labels: Labels, classes: int) -> Floats:
        """True rows of each class in every draw, shape (draws, classes); the same for the whole board."""
        if self._drawn is None or self._drawn[0] is not labels:
            self._drawn = labels, self.tally(labels[None], classes)[0]
        return self._drawn[1]


def deviations(metric: Metric, labels: Labels, predictions: Sequence[Scores], draws: TestDraws) -> Floats:
    """The deviation matrix of one contender, shape (seeds, columns).

    predictions: one array of probabilities, shape (rows, classes), a seed.
    Metrics that are means over rows, and areas under a curve, have an exact form; the others are
    bootstrapped. Source of the exact forms: the variance of a mean; DeLong et al. 1988 for AUROC.
    """
    rows = len(labels)
    if rows < 2:
        return np.zeros((len(predictions), 1))
    per_row = _per_row(metric)
    if per_row is not None:
        values = np.stack([per_row(labels, one) for one in predictions])
        values -= values.mean(axis=1, keepdims=True)
        return np.asarray(values / np.sqrt(rows * (rows - 1.0)))
    replicates = np.stack([_replicates(metric, labels, one, draws) for one in predictions])
    replicates -= replicates.mean(axis=1, keepdims=True)
    # rows / (rows - 1): the bootstrap spreads as a sample, not as the population it stands for
    return np.asarray(replicates * np.sqrt(rows / (rows - 1.0) / (replicates.shape[1] - 1.0)))


def _per_row(metric: Metric) -> Callable[[Labels, Scores], Floats] | None:
    if metric.name in _EXACT:
        return _EXACT[metric.name]
    if metric.per_item:
        return lambda labels, one: np.array(
            [metric.score(labels[i : i + 1], one[i : i + 1]) for i in range(len(labels))], dtype=np.float64
        )
    return None


def _accuracy(labels: Labels, one: Scores) -> Floats:
    return np.asarray(one.argmax(axis=1) == labels, dtype=np.float64)


def _log_loss(labels: Labels, one: Scores) -> Floats:
    chosen = one[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(chosen, 1e-7, 1.0)))


def _auroc(labels: Labels, one: Scores) -> Floats:
    """Influence of each row on the area: how it is placed among the rows of the other side."""
    present = np.unique(labels)
    if len(present) < 2:
        return np.zeros(len(labels))
    classes = [1] if one.shape[1] == 2 else [int(k) for k in present]
    return np.asarray(np.mean([_placements(labels == k, one[:, k]) for k in classes], axis=0))


def _placements(positive: NDArray[np.bool_], score: NDArray[np.float32]) -> Floats:
    yes, no = int(positive.sum()), int((~positive).sum())
    all_ranks, values = rankdata(score), np.zeros(len(score))
    above = (all_ranks[positive] - rankdata(score[positive])) / no
    below = 1.0 - (all_ranks[~positive] - rankdata(score[~positive])) / yes
    values[positive] = (above - above.mean()) * len(score) / yes
    values[~positive] = (below - below.mean()) * len(score) / no
    return values


_EXACT: dict[str, Callable[[Labels, Scores], Floats]] = {
    "accuracy": _accuracy,
    "log_loss": _log_loss,
    "auroc": _auroc,
}


def _replicates(metric: Metric, labels: Labels, one: Scores, draws: TestDraws) -> Floats:
    """The score in every bootstrap draw, shape (draws,)."""
    from_counts = _FROM_COUNTS.get(metric.name)
    if from_counts is None:
        few = draws.counts[:, :SLOW_DRAWS].T.astype(np.int64)
        chosen = (np.repeat(np.arange(len(labels)), count) for count in few)
        found = np.array([metric.score(labels[rows], one[rows]) for rows in chosen], dtype=np.float64)
        return np.where(np.isfinite(found), found, np.nanmean(found) if np.isfinite(found).any() else 0.0)
    classes, predicted = one.shape[1], one.argmax(axis=1)
    kinds = np.concatenate([np.where(predicted == labels, labels, -1), predicted])
    found = draws.tally(kinds.reshape(2, -1), classes)
    return from_counts(found[0], draws.classes_drawn(labels, classes), found[1])


def _macro_f1(hits: Floats, real: Floats, said: Floats) -> Floats:
    total = real + said
    f1 = np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)
    return np.asarray(f1.sum(axis=1) / np.maximum((total > 0).sum(axis=1), 1))


def _balanced_accuracy(hits: Floats, real: Floats, said: Floats) -> Floats:
    recall = np.divide(hits, real, out=np.zeros_like(hits), where=real > 0)
    return np.asarray(recall.sum(axis=1) / np.maximum((real > 0).sum(axis=1), 1))


def _matthews(hits: Floats, real: Floats, said: Floats) -> Floats:
    """The form for many classes: Gorodkin 2004."""
    rows = real.sum(axis=1)
    top = hits.sum(axis=1) * rows - (real * said).sum(axis=1)
    bottom = (rows**2 - (said**2).sum(axis=1)) * (rows**2 - (real**2).sum(axis=1))
    score: Floats = np.divide(top, np.sqrt(np.maximum(bottom, 0)), out=np.zeros_like(top), where=bottom > 0)
    return score


_FROM_COUNTS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "macro_f1": _macro_f1,
    "balanced_accuracy": _balanced_accuracy,
    "mcc": _matthews,
}
