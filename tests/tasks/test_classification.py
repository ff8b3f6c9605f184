"""What every classification shares."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from automl.tasks.classification import fit_logistic


def test_a_yardstick_that_stops_early_is_judged_and_not_complained_about() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(200, 40)) * np.logspace(-3, 3, 40)
    labels = np.arange(200) % 3
    with pytest.warns(ConvergenceWarning):
        LogisticRegression(C=1e4, max_iter=300).fit(inputs, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = inputs, labels
        fitted = fit_logistic(FunctionTransformer(), (1e4, 1e5), part, (inputs[:60], labels[:60]), seed=0)
    assert fitted.predict_proba(inputs).shape == (200, 3)
