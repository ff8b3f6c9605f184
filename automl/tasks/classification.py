"""What every classification shares, whatever its inputs are: one of several classes for each row.

It registers no task of its own: a task says what its inputs are (`encode`, `collate`) and what its yardsticks are.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.metrics import CLASSIFICATION, get_metric
from automl.tasks.base import Baseline, Loss, Task
from automl.tasks.imbalance import class_offsets, class_weights, is_sampled_evenly
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

MAJORITY_SHARE = 0.7
"""From this share of the largest class on, accuracy would mostly reward naming that class."""

CONSTANT = Baseline(name="constant", needs="labels")
FEATURES = Baseline(name="features + logistic regression", needs="features")
Rows = tuple[Any, NDArray[np.int64]]
"""What a baseline learns from: inputs and labels."""


class Classification(Task):
    metrics = tuple(CLASSIFICATION)

    def choose_metric(self, class_counts: Mapping[str, int]) -> tuple[str, str]:
        name, count = max(class_counts.items(), key=lambda item: item[1])
        share = count / sum(class_counts.values())
        if share >= MAJORITY_SHARE:
            return "macro_f1", (
                f"always saying {name!r} would be right for {share:.1%} of the rows, "
                "so every class counts alike instead of every row"
            )
        return "accuracy", f"the largest class, {name!r}, holds {share:.1%} of the rows"

    def labels(self, table: pa.Table, schema: Schema) -> NDArray[np.int64]:
        number = {name: index for index, name in enumerate(schema.classes)}
        return np.asarray([number[value] for value in table.column("label").to_pylist()], dtype=np.int64)

    def make_loss(self, labels: NDArray[np.int64], recipe: Mapping[str, Any], device: torch.device) -> Loss:
        """Cross-entropy with the recipe's remedy for unequal classes.

        The mean is over the rows, not over their weights: so shares of a batch add up to the whole batch's loss.
        """
        import torch
        from torch.nn.functional import cross_entropy

        def on_device(values: NDArray[np.float32] | None) -> torch.Tensor | None:
            return None if values is None else torch.from_numpy(values).to(device)

        counts = np.bincount(labels)  # as long as there are classes: these are the training rows' own
        offsets, weights = on_device(class_offsets(counts, recipe)), on_device(class_weights(counts, recipe))
        smoothing = recipe["label_smoothing"]

        def loss(outputs: Any, batch_labels: torch.Tensor) -> torch.Tensor:
            logits = outputs.logits.float()
            if offsets is not None:
                logits = logits + offsets
            rows = cross_entropy(logits, batch_labels, weights, label_smoothing=smoothing, reduction="none")
            return rows.mean()

        return loss

    def even_groups(self, labels: NDArray[np.int64], recipe: Mapping[str, Any]) -> NDArray[np.int64] | None:
        return labels if is_sampled_evenly(recipe) else None

    def predict(self, outputs: Any) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = outputs.logits.float().softmax(dim=-1).cpu().numpy()
        return probabilities

    def answers(self, predictions: NDArray[np.float32], schema: Schema) -> dict[str, list[Any]]:
        chosen = predictions.argmax(axis=1)
        return {
            "prediction": [schema.classes[index] for index in chosen],
            "probability": [round(float(value), 6) for value in predictions.max(axis=1)],
        }


def fit_constant(train: Rows) -> Any:
    """The classes' shares among the training rows, for every row."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior").fit(train[0], train[1])


def fit_logistic(prepare: Any, strengths: Sequence[float], train: Rows, validation: Rows, seed: int) -> Any:
    """Logistic regression on what `prepare` (a scikit-learn transformer) makes of the inputs.

    strengths: inverses of the regularisation, of which the validation rows choose.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    def fit(strength: float, inputs: Any) -> Any:
        with warnings.catch_warnings():
            # a fit that stops early is judged on the validation rows like any other
            warnings.simplefilter("ignore", ConvergenceWarning)
            return LogisticRegression(C=strength, max_iter=300, random_state=seed).fit(inputs, train[1])

    return choose(prepare, strengths, fit, train, validation)


def choose(prepare: Any, options: Sequence[Any], fit: Any, train: Rows, validation: Rows) -> Any:
    """`prepare` and then the model, fitted with the option that gives the smallest log loss on the validation rows.

    fit: (option, prepared inputs) to a model with predict_proba.
    """
    from sklearn.pipeline import make_pipeline

    fitted = prepare.fit(train[0])
    inputs, held_out = fitted.transform(train[0]), fitted.transform(validation[0])
    log_loss = get_metric("log_loss").score
    best: tuple[float, Any] | None = None
    for option in options:
        model = fit(option, inputs)
        loss = log_loss(validation[1], model.predict_proba(held_out))
        if best is None or loss < best[0]:
            best = loss, model
    assert best is not None
    return make_pipeline(fitted, best[1])
