"""Labels that are probably wrong: rows on which models that never saw them disagree with their label, by cleanlab."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from automl.data.columns import Codes, row_keys
from automl.data.images import Look
from automl.data.leakage import MOST_ROWS_SHOWN, Keyed, repeated
from automl.data.pieces import taken
from automl.errors import MissingExtra
from automl.types import Finding

FOLDS = 5
MOST_ROWS = 20_000
_FEWEST_CLASS_ROWS = 10
_MOST_WORDS = 30_000
_SHOWN = 5
Probabilities = npt.NDArray[np.float64]


def find_label_errors(part: Keyed, inputs: Sequence[str], looks: Sequence[Look]) -> list[Finding]:
    """One finding: rows whose label a cheap model contradicts, the most doubtful first; none where none are sure.

    Out-of-sample predictions of a logistic regression on tf-idf (texts) or miniatures (pictures), each row predicted
    by a model of the other folds, repetitions taken out first. Classes of fewer than 10 rows are left aside.
    Raises MissingExtra without cleanlab. Source: Northcutt, Jiang & Chuang 2021 (confident learning).
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise MissingExtra.of("cleanlab", "quality", "looking for label errors") from None
    assert part.labels is not None
    usable = ~part.blank & ~part.unlabelled
    usable &= ~repeated(part.keys, usable)
    codes, sizes = part.label_codes, np.bincount(part.label_codes[usable], minlength=int(part.label_codes.max()) + 1)
    rows = np.flatnonzero(usable & (sizes[codes] >= _FEWEST_CLASS_ROWS))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))
    classes, labels = np.unique(codes[rows], return_inverse=True)
    if len(classes) < 2:
        return []
    names = [part.labels[int(rows[np.argmax(labels == place)])].as_py() for place in range(len(classes))]
    if looks:
        features: Any = np.array([np.frombuffer(looks[int(row)].miniature, np.uint8) for row in rows]) / 255
    else:
        chosen = pa.concat_tables(taken(part.rows.table.select(list(inputs)), rows))
        features = row_keys(chosen, tuple(inputs)).to_pylist()
    chances = _unseen(features, labels)
    doubtful = find_label_issues(
        labels, chances, return_indices_ranked_by="self_confidence", filter_by="both", n_jobs=1
    )
    if not len(doubtful):
        return []
    guesses = chances.argmax(axis=1)
    told = ", ".join(
        f"row {int(part.numbers[rows[place]])} {names[labels[place]]!r} (rather {names[guesses[place]]!r})"
        for place in doubtful[:_SHOWN]
    )
    right = float((guesses == labels).mean())
    return [
        Finding(
            kind="label_errors",
            severity="warn",
            count=len(doubtful),
            what=f"{part.name}: labels that may be wrong, for cheap models that never saw them and are right on "
            f"{right:.0%} of all rows contradict them: {told}",
            suggestion="nothing is changed; look at them, the most doubtful come first",
            rows=tuple(int(part.numbers[rows[place]]) for place in doubtful[:MOST_ROWS_SHOWN]),
        )
    ]


def _unseen(features: Any, labels: Codes) -> Probabilities:
    """Probabilities of the classes for every row, shape (rows, classes), by models of the other folds."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    steps: list[Any] = [LogisticRegression(C=10.0, max_iter=200)]
    if isinstance(features, list):
        steps.insert(0, TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=_MOST_WORDS))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = cross_val_predict(make_pipeline(*steps), features, labels, cv=folds, method="predict_proba")
    return np.asarray(found, np.float64)
