"""Mistakes that most trainings make, the surest first."""

from __future__ import annotations

import numpy as np

from automl.leaderboard.mistakes import confident_mistakes

LABELS = np.array([0, 0, 0, 1])


def predictions(*shares_of_first: float) -> np.ndarray:
    first = np.array(shares_of_first, dtype=np.float32)
    return np.column_stack([first, 1 - first])


def test_rows_that_most_trainings_get_wrong_come_surest_first() -> None:
    found = confident_mistakes(
        LABELS, [predictions(0.4, 0.1, 0.9, 0.2), predictions(0.3, 0.2, 0.2, 0.6), predictions(0.2, 0.1, 0.8, 0.1)]
    )
    assert [one.place for one in found] == [1, 0]  # row 2 and row 3 were wrong once only
    assert (found[0].wrong, found[0].trainings, found[0].true, found[0].called) == (3, 3, 0, 1)
    assert found[0].confidence == round((0.9 + 0.8 + 0.9) / 3, 4)


def test_half_of_the_trainings_is_not_most() -> None:
    assert confident_mistakes(LABELS, [predictions(0.1, 1, 1, 0), predictions(0.9, 1, 1, 0)]) == ()


def test_no_training_and_no_mistake_are_no_examples() -> None:
    assert confident_mistakes(LABELS, []) == ()
    assert confident_mistakes(LABELS, [predictions(1, 1, 1, 0)]) == ()


def test_at_most_ten_are_kept() -> None:
    labels = np.zeros(50, dtype=np.int64)
    assert len(confident_mistakes(labels, [predictions(*np.linspace(0, 0.4, 50))])) == 10
