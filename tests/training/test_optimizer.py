"""Which optimizer a recipe gets, and how its rate follows the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from automl.training.optimizer import make_optimizer
from automl.training.recipe import REFERENCE_BATCH, Recipe
from tests.toys import RECIPE


def weights_after(steps: int, **recipe: Any) -> list[float]:
    """A weight's way under a gradient of one, learning rate 0.1, without decay."""
    weight = torch.nn.Parameter(torch.zeros(1))
    group = {"params": [weight], "lr": 0.1, "weight_decay": 0.0}
    optimizer = make_optimizer([group], Recipe.of(RECIPE | recipe))
    way = []
    for _ in range(steps):
        weight.grad = torch.ones(1)
        optimizer.step()
        way.append(float(weight.detach()))
    return way


def test_a_recipe_that_names_no_optimizer_gets_adamw() -> None:
    assert weights_after(3) == pytest.approx([-0.1, -0.2, -0.3], abs=1e-4), (
        "a constant gradient is a step of the rate"
    )


def test_momentum_adds_up_earlier_gradients() -> None:
    assert weights_after(3, optimizer="sgd", momentum=0.0) == pytest.approx([-0.1, -0.2, -0.3])
    assert weights_after(3, optimizer="sgd", momentum=0.5) == pytest.approx([-0.1, -0.25, -0.425])


@pytest.mark.parametrize(("optimizer", "factor"), [("adamw", 2.0), ("sgd", 4.0)])
def test_four_times_the_batch_is_twice_the_rate_of_adam_and_four_times_that_of_sgd(
    optimizer: str, factor: float
) -> None:
    values = RECIPE | {"optimizer": optimizer, "learning_rate": 0.01}
    assert Recipe.of(values | {"batch_size": REFERENCE_BATCH}).step_learning_rate == pytest.approx(0.01)
    larger = Recipe.of(values | {"batch_size": 4 * REFERENCE_BATCH})
    assert larger.step_learning_rate == pytest.approx(0.01 * factor)
