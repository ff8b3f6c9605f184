"""Remedies for unequal classes: what they do to the loss and to an epoch, and that predictions stay as they are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from automl.data.quality import SEARCHED_RATIO
from automl.search.space import check_file, shipped_directory
from automl.tasks.imbalance import class_offsets, class_weights
from automl.tasks.text_classification import TextClassification
from automl.training.stream import even_rows

LABELS = np.repeat([0, 1, 2], [80, 15, 5])
LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.3, 0.1], [1.0, 1.0, 1.0], [-0.5, 0.2, 2.0]])
BATCH = torch.tensor([0, 1, 2, 2])


def loss_of(logits: torch.Tensor = LOGITS, batch: torch.Tensor = BATCH, **recipe: Any) -> float:
    make = TextClassification().make_loss(LABELS, {"label_smoothing": 0.0, **recipe}, torch.device("cpu"))
    return float(make(SimpleNamespace(logits=logits), batch))


def test_without_a_remedy_the_loss_is_the_mean_cross_entropy() -> None:
    assert loss_of() == loss_of(imbalance="none") == pytest.approx(float(cross_entropy(LOGITS, BATCH)))
    smooth = float(cross_entropy(LOGITS, BATCH, label_smoothing=0.1))
    assert loss_of(label_smoothing=0.1) == pytest.approx(smooth)


def test_logit_adjustment_adds_the_log_shares_times_tau_in_the_loss() -> None:
    shares = torch.tensor([0.8, 0.15, 0.05])
    for tau in (0.5, 1.0):
        told = loss_of(imbalance="logit_adjust", logit_adjust_tau=tau)
        assert told == pytest.approx(float(cross_entropy(LOGITS + tau * shares.log(), BATCH)), rel=1e-5)
    assert loss_of(imbalance="logit_adjust") == loss_of(imbalance="logit_adjust", logit_adjust_tau=1.0)


def test_a_model_that_knows_the_shares_alone_says_nothing_of_classes_under_logit_adjustment() -> None:
    """The best constant logits are then equal for all classes; without it they are the log shares."""
    logits = torch.zeros(3, requires_grad=True)
    make = TextClassification().make_loss(
        LABELS, {"label_smoothing": 0.0, "imbalance": "logit_adjust"}, torch.device("cpu")
    )
    make(SimpleNamespace(logits=logits.expand(100, 3)), torch.from_numpy(LABELS)).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(3), atol=1e-6, rtol=0)


def test_class_balanced_weights_go_from_equal_to_inverse_counts_and_are_one_in_the_mean() -> None:
    counts = np.bincount(LABELS)
    for beta in (0.0, 0.99, 0.999999):
        weights = class_weights(counts, {"imbalance": "class_balanced", "class_balanced_beta": beta})
        assert weights is not None
        assert (weights * counts).sum() == pytest.approx(counts.sum(), rel=1e-5)
        if beta == 0.0:
            np.testing.assert_allclose(weights, 1, rtol=1e-6)
    np.testing.assert_allclose(weights * counts, counts.sum() / 3, rtol=1e-3)


def test_shares_of_a_weighted_batch_add_up_to_the_whole_batch() -> None:
    """As several workers compute it: the mean over weights instead of rows would not."""
    recipe = {"imbalance": "class_balanced", "class_balanced_beta": 0.99}
    halves = [loss_of(LOGITS[rank::2], BATCH[rank::2], **recipe) for rank in (0, 1)]
    assert sum(halves) / 2 == pytest.approx(loss_of(**recipe))
    assert loss_of(**recipe) != pytest.approx(loss_of())


def test_a_class_without_rows_breaks_nothing() -> None:
    counts = np.array([10, 0, 2])
    for found in (
        class_offsets(counts, {"imbalance": "logit_adjust"}),
        class_weights(counts, {"imbalance": "class_balanced"}),
    ):
        assert found is not None
        assert np.isfinite(found).all()


def test_a_balanced_epoch_is_as_long_and_has_every_class_equally_often() -> None:
    for seed in range(5):
        rows = even_rows(LABELS, np.random.default_rng(seed))
        assert len(rows) == len(LABELS)
        assert np.bincount(LABELS[rows]).max() - np.bincount(LABELS[rows]).min() <= 1
        times = np.bincount(rows, minlength=len(LABELS))
        assert times[LABELS == 0].max() == 1, "no row of the large class twice, while others wait"
        assert set(times[LABELS == 1]) == {2, 3}


def test_another_epoch_draws_other_rows_of_the_large_class() -> None:
    one, other = (set(even_rows(LABELS, np.random.default_rng((0, epoch)))) for epoch in (0, 1))
    assert one != other


@pytest.mark.parametrize("file", sorted(shipped_directory().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_space_offers_the_same_remedies_after_none(file: Path) -> None:
    for space in check_file(file):
        found = {parameter.name: parameter for parameter in space.parameters}
        assert set(found["imbalance"].choices) == {"none", "logit_adjust", "class_balanced", "balanced_sampler"}
        assert dict(found["imbalance"].when_data) == {"class_ratio": SEARCHED_RATIO}
        assert (found["logit_adjust_tau"].low, found["logit_adjust_tau"].high) == (0.5, 1.5)
        assert all(space.complete(first)["imbalance"] == "none" for first in space.first_trials)
        balanced = space.for_data({"class_ratio": 2.0}).complete({})
        assert balanced["imbalance"] == "none"
        assert not {"logit_adjust_tau", "class_balanced_beta"} & set(balanced)
