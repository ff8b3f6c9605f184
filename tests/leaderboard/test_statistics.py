"""What an interval, a comparison and a tie group are; how often they are right: tests/test_board_self_test.py."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from automl.leaderboard.resampling import TestDraws, deviations
from automl.leaderboard.statistics import (
    ASSUMED_SEED_SD,
    Sample,
    compare,
    holm,
    mean_interval,
    tie_groups,
)
from automl.metrics import get_metric

ITEM_SD = 1.5
Hits = NDArray[np.float64]


def sample(name: str, hits: Hits, deterministic: bool = False) -> Sample:
    """hits: shape (seeds, rows), 1 where a training was right."""
    scores, rows = hits.mean(axis=1), hits.shape[1]
    spread = (hits - scores[:, None]) / np.sqrt(rows * (rows - 1))
    return Sample(
        name=name,
        seeds=tuple(range(len(hits))),
        scores=scores,
        deviations=spread,
        rows=rows,
        deterministic=deterministic,
        per_row=True,
    )


def draw(random: np.random.Generator, ease: float, seeds: int, seed_sd: float, items: Hits) -> Hits:
    """Trainings that are right more often on easy rows, each with a luck of its own; shape (seeds, rows)."""
    luck = random.normal(size=(seeds, 1)) * seed_sd
    noise = random.normal(size=(seeds, len(items))) * 0.5
    return (random.random((seeds, len(items))) < expit(ease + luck + items + noise)).astype(np.float64)


def expected(ease: float, seed_sd: float) -> float:
    spread = np.sqrt(ITEM_SD**2 + seed_sd**2 + 0.25)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float((expit(ease + spread * nodes) * weights).sum() / weights.sum())


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_plain_bootstrap_over_seeds_would_not_have_covered(seeds: int) -> None:
    """What the intervals are for: with three seeds the naive way is right in far fewer cases."""
    random, truth, covered = np.random.default_rng(seeds), expected(1.5, 0.4), []
    for _ in range(600):
        hits = draw(random, 1.5, seeds, 0.4, random.normal(size=2_000) * ITEM_SD)
        drawn = random.choice(hits.mean(axis=1), (400, seeds)).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        covered.append(low <= truth <= high)
    assert np.mean(covered) < {3: 0.80, 5: 0.88, 10: 0.94}[seeds]


def test_the_detectable_difference_is_detected_in_about_80_percent() -> None:
    random, found, repeats = np.random.default_rng(2), 0, 400
    items = random.normal(size=2_000) * ITEM_SD
    pairs = [[draw(random, 2.0, 5, 0.05, items) for _ in "ab"] for _ in range(repeats)]
    stated = float(np.mean([compare(sample("a", a), sample("b", b)).detectable for a, b in pairs]))
    for one, other in pairs:
        other[random.random(other.shape) < stated / other.mean()] = 0.0
        found += compare(sample("a", one), sample("b", other)).separable
    assert 0.65 <= found / repeats <= 0.93, found / repeats


def test_a_perfect_score_is_not_certain() -> None:
    found = mean_interval(sample("a", np.ones((3, 200))))
    assert found.mean == 1.0
    assert found.high == 1.0
    assert 0.9 < found.low < 0.99


def test_an_interval_stays_in_the_range_of_its_metric() -> None:
    random = np.random.default_rng(0)
    hits = (random.random((3, 40)) < [[0.99], [0.9], [0.8]]).astype(float)
    found = mean_interval(sample("a", hits))
    assert 0 <= found.low < found.mean < found.high <= 1


def test_one_seed_is_less_sure_than_the_same_rows_of_a_baseline() -> None:
    hits = (np.random.default_rng(0).random((1, 1_000)) < 0.9).astype(float)
    trained, fixed = mean_interval(sample("a", hits)), mean_interval(sample("a", hits, deterministic=True))
    assert trained.high - trained.low > fixed.high - fixed.low
    assert trained.high - trained.low > 2 * 1.9 * ASSUMED_SEED_SD


def test_one_seed_each_may_tell_twenty_points_apart_but_not_one() -> None:
    random = np.random.default_rng(0)
    items = random.normal(size=2_000) * ITEM_SD
    good, near = draw(random, 2.5, 1, 0, items), draw(random, 2.4, 1, 0, items)
    far = draw(random, 0.8, 1, 0, items)
    assert compare(sample("a", good), sample("c", far), margin=0.005).separable
    assert not compare(sample("a", good), sample("b", near), margin=0.005).separable


def test_a_sure_difference_within_the_margin_is_a_tie() -> None:
    hits = np.ones((5, 20_000))
    other = hits.copy()
    other[:, :80] = 0.0
    found = compare(sample("a", hits), sample("b", other), margin=0.005)
    assert found.p_value < 0.001
    assert not found.separable
    assert compare(sample("a", hits), sample("b", other), margin=0.003).separable


def test_five_rows_are_too_few_to_tell_two_contenders_apart() -> None:
    """Five of five differing rows: the exact two-sided p value is 2 / 2^5, whatever a normal curve says."""
    hits = np.ones((3, 100))
    other = hits.copy()
    other[:, :5] = 0.0
    assert compare(sample("a", hits), sample("b", other)).p_value == pytest.approx(2 / 2**5)


def test_holm_keeps_the_order_and_never_lowers_a_p_value() -> None:
    random = np.random.default_rng(3)
    items = random.normal(size=500) * ITEM_SD
    first = sample("first", draw(random, 2.5, 5, 0.05, items))
    others = [sample(str(ease), draw(random, ease, 5, 0.05, items)) for ease in (2.3, 2.0, 1.5, 1.0)]
    raw = [compare(first, other, 0.005) for other in others]
    corrected = holm(raw, 0.005)
    assert [one.worse for one in corrected] == ["2.3", "2.0", "1.5", "1.0"]
    assert all(after.adjusted >= before.p_value for before, after in zip(raw, corrected, strict=True))


def test_groups_begin_anew_with_the_first_row_that_was_told_apart() -> None:
    random = np.random.default_rng(4)
    items = random.normal(size=3_000) * ITEM_SD
    plan = {"a": 3.0, "b": 3.0, "c": 1.5, "d": 1.5, "e": 0.0}
    rows = [sample(name, draw(random, ease, 5, 0.03, items)) for name, ease in plan.items()]
    rows.sort(key=lambda one: -one.mean)
    groups, made = tie_groups(rows, margin=0.005)
    assert [sorted(one.name for one in group) for group in groups] == [["a", "b"], ["c", "d"], ["e"]]
    assert len(made) == 4 + 2


def test_a_baseline_is_compared_with_every_seed_of_a_contender() -> None:
    random = np.random.default_rng(5)
    items = random.normal(size=800) * ITEM_SD
    trained = sample("a", draw(random, 2.5, 3, 0.05, items))
    fixed = sample("base", draw(random, 0.5, 1, 0.0, items), deterministic=True)
    found = compare(trained, fixed)
    assert found.separable
    assert found.difference == pytest.approx(trained.mean - fixed.mean)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "balanced_accuracy", "mcc", "auroc", "log_loss"])
@pytest.mark.parametrize("classes", [2, 4])
def test_deviations_agree_with_a_bootstrap_by_the_metric_itself(name: str, classes: int) -> None:
    random, metric, rows = np.random.default_rng(6), get_metric(name), 400
    labels = random.choice(classes, rows, p=[0.7, *[0.3 / (classes - 1)] * (classes - 1)])
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    predictions = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    row = deviations(metric, labels, [predictions], TestDraws(rows))[0]
    picks = random.integers(0, rows, (600, rows))
    drawn = [metric.score(labels[pick], predictions[pick]) for pick in picks]
    assert np.sqrt(row @ row) == pytest.approx(np.std(drawn), rel=0.12)


def test_a_metric_that_only_its_function_knows_is_bootstrapped_too() -> None:
    from dataclasses import replace

    random, rows = np.random.default_rng(7), 300
    labels = random.integers(0, 2, rows)
    predictions = np.eye(2, dtype=np.float32)[np.where(random.random(rows) < 0.9, labels, 1 - labels)]
    known = get_metric("macro_f1")
    strange = replace(known, name="something new")
    found = [deviations(metric, labels, [predictions], TestDraws(rows))[0] for metric in (known, strange)]
    spreads = [np.linalg.norm(row) for row in found]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.2)
