"""Every class's precision and recall, the one that is missed most first."""

from __future__ import annotations

import numpy as np

from automl.leaderboard.classes import class_scores, class_table, worst_class

CONFUSION = np.array([[8.0, 2.0, 0.0], [3.0, 1.0, 0.0], [0.0, 0.0, 0.0]])


def test_the_weakest_recall_stands_first_and_a_class_without_rows_last() -> None:
    found = class_scores(CONFUSION, ["a", "b", "c"])
    assert [one.name for one in found] == ["b", "a", "c"]
    assert (found[0].precision, found[0].recall, found[0].rows) == (round(1 / 3, 6), 0.25, 4)
    assert found[0].f1 == round(2 / 7, 6)
    assert (found[2].precision, found[2].recall, found[2].f1) == (None, None, None)
    worst = worst_class(found)
    assert worst is not None
    assert worst.name == "b"


def test_a_test_without_rows_has_no_worst_class() -> None:
    assert worst_class(class_scores(np.zeros((2, 2)), ["a", "b"])) is None


def test_what_is_not_defined_is_a_dash_in_the_table() -> None:
    assert class_table(CONFUSION, ["a", "b", "c"])[-1] == ("c", "0", "–", "–", "–")
