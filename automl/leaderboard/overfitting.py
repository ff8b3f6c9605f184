"""Where a contender began to learn its training rows by heart, told from its finals' curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.types import TrialResult

LOSS = "log_loss"
_NOTABLE = 0.02
"""A validation loss that rose by a smaller share than this did not rise in any way that matters."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Mean training and validation loss over a contender's finals, at the samples where all were evaluated."""

    samples: tuple[int, ...]
    train: tuple[float, ...]
    validation: tuple[float, ...]
    finals: int

    @property
    def best(self) -> int:
        """Where the validation loss was lowest."""
        return int(np.argmin(self.validation))


def fit_of(trials: Sequence[TrialResult], contender: str) -> Fit | None:
    """None where the finals kept no losses, or were evaluated once."""
    own = [t for t in trials if t.contender == contender and t.kind == "final" and t.status == "completed"]
    curves = [
        {p["samples_seen"]: (p["train_loss"], p[LOSS]) for p in t.curve if _told(p.get("train_loss"), p.get(LOSS))}
        for t in own
    ]
    curves = [curve for curve in curves if curve]
    if not curves:
        return None
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    if len(shared) < 2:
        return None
    means = np.array([[curve[samples] for samples in shared] for curve in curves]).mean(axis=0)
    losses = [tuple(float(value) for value in column) for column in means.T]
    return Fit(samples=tuple(shared), train=losses[0], validation=losses[1], finals=len(curves))


def overfitting(contender: str, fit: Fit) -> str:
    """One sentence: whether, and after how many samples, the training loss fell without the validation loss."""
    best, last = fit.best, len(fit.samples) - 1
    low, end = fit.validation[best], fit.validation[last]
    mean = f"mean of {fit.finals} finals" if fit.finals > 1 else "one final"
    if best == last:
        before = fit.validation[last - 1]
        still = "was still falling at the end" if before - end > _NOTABLE * before else "had settled by the end"
        longer = " Longer training may help." if still.startswith("was") else ""
        return f"{contender} did not overfit: its validation loss {still} ({end:.3f}, {mean}).{longer}"
    if end - low <= _NOTABLE * low:
        return (
            f"{contender} did not clearly overfit: its validation loss was lowest after "
            f"{fit.samples[best]:,} samples ({low:.3f}) and hardly moved after ({end:.3f}, {mean})."
        )
    if fit.train[last] >= fit.train[best]:
        return (
            f"{contender} grew unsteady, not overfit: after {fit.samples[best]:,} samples its validation loss rose "
            f"from {low:.3f} to {end:.3f}, and its training loss did not fall either ({mean})."
        )
    return (
        f"{contender} began to overfit after {fit.samples[best]:,} of {fit.samples[last]:,} samples: from there its "
        f"validation loss rose from {low:.3f} to {end:.3f} while its training loss fell from "
        f"{fit.train[best]:.3f} to {fit.train[last]:.3f} ({mean})."
    )


def _told(*values: object) -> bool:
    return all(isinstance(value, int | float) and np.isfinite(value) for value in values)
