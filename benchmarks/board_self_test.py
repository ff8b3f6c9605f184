"""How often does the board judge rightly? Its rates on simulated contests whose truth is known.

    python -m benchmarks.board_self_test             # under a minute: every rate beside what it has to be
    python -m benchmarks.board_self_test --more 10   # with more repeats

A simulated training is right on a row by chance: more often on easy rows, and each seed has a luck of its own. So
seeds and rows are both random, and the truth is the expected score over new seeds and new rows. From its predictions
on, everything is the product's own: metric, intervals, comparisons, tie groups, winner.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from automl.leaderboard.planning import power, rows_needed
from automl.leaderboard.resampling import TestDraws, deviations
from automl.leaderboard.rows import STATUSES, interval_of, rank_rows
from automl.leaderboard.statistics import Sample, compare
from automl.leaderboard.verdict import winner_of
from automl.metrics import Metric, get_metric
from automl.tasks.text_classification import TextClassification
from automl.types import LeaderboardRow

ROW_SD, ROW_NOISE = 1.5, 0.5
"""How much rows differ in ease, and how much that differs from training to training, in logits."""
MARGIN = 0.005
"""The default of --margin: half a point."""
ACCURACY = get_metric("accuracy")
Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One line of the answer: what happened in which share of `repeats` contests, and what share it has to be."""

    what: str
    share: float
    low: float
    high: float
    repeats: int

    @property
    def holds(self) -> bool:
        return self.low <= self.share <= self.high

    def __str__(self) -> str:
        aim = f"{self.low:.1%} to {self.high:.1%}" if self.high < 1 else f"at least {self.low:.1%}"
        return (
            f"{'ok  ' if self.holds else 'MISS'}  {self.share:6.1%}  ({aim}; {self.repeats:,} repeats)  {self.what}"
        )


# -- simulated trainings ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class World:
    """Where contests are drawn from. ease: logit of a middling row; seed_sd: of a training's luck, in logits."""

    rows: int
    seeds: int
    ease: float = 2.0
    seed_sd: float = 0.1

    @property
    def accuracy(self) -> float:
        """The truth: the expected share of right answers over new seeds and new rows."""
        spread = np.sqrt(ROW_SD**2 + ROW_NOISE**2 + self.seed_sd**2)
        nodes, weights = _gauss_hermite()
        return float((expit(self.ease + spread * nodes) * weights).sum() / weights.sum())

    def items(self, random: np.random.Generator) -> Numbers:
        """How easy each test row is, the same for every training; shape (rows,)."""
        return random.normal(size=self.rows) * ROW_SD

    def hits(self, random: np.random.Generator, items: Numbers, crippled_by: float = 0.0) -> NDArray[np.bool_]:
        """Which rows each training gets right, shape (seeds, rows); so much of the score is then taken away."""
        luck = random.normal(size=(self.seeds, 1)) * self.seed_sd
        noise = random.normal(size=(self.seeds, self.rows)) * ROW_NOISE
        right = random.random((self.seeds, self.rows)) < expit(self.ease + luck + items + noise)
        if crippled_by:
            right &= random.random(right.shape) >= crippled_by / self.accuracy
        return np.asarray(right)


@lru_cache(maxsize=1)
def _gauss_hermite() -> tuple[Numbers, Numbers]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return nodes, weights


def answers(labels: NDArray[np.int64], right: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probabilities of two classes for rows that are got right or wrong: one axis more than `right`, of length 2."""
    said = np.where(right, labels, 1 - labels)
    return np.where(said[..., None] == [0, 1], np.float32(0.8), np.float32(0.2))


def sample_of(
    name: str,
    labels: NDArray[np.int64],
    predictions: NDArray[np.float32],
    metric: Metric = ACCURACY,
    draws: TestDraws | None = None,
    baseline: bool = False,
) -> Sample:
    """Predictions, shape (seeds, rows, classes), as the board takes them."""
    return Sample(
        name=name,
        seeds=tuple(range(len(predictions))),
        scores=np.array([metric.score(labels, one) for one in predictions]),
        deviations=deviations(metric, labels, list(predictions), draws or TestDraws(len(labels))),
        rows=len(labels),
        deterministic=baseline,
        per_row=metric.per_item,
    )


def board_of(samples: Sequence[Sample]) -> tuple[LeaderboardRow, ...]:
    """Ranks and tie groups of rows, by the code that makes every board."""
    return rank_rows([(_row(one), one) for one in samples], MARGIN)[0]


def _row(sample: Sample) -> LeaderboardRow:
    empty: dict[str, Any] = dict.fromkeys(
        (
            "error", "test_mean", "test_low", "test_high", "validation_mean", "search_validation",
            "default_test_mean", "device_seconds_allowed", "latency_ms_p50", "parameters", "model_dir",
        )
    )  # fmt: skip
    return LeaderboardRow(
        **empty, rank=0, tie_group=0, contender=sample.name, kind="baseline" if sample.deterministic else "contender",
        status="ok", test_per_seed=(), seeds=sample.seeds, device_seconds=0.0, trials=dict.fromkeys(STATUSES, 0),
        recipe={},
    )  # fmt: skip


def contest(
    world: World, random: np.random.Generator, crippled_by: Mapping[str, float], items: Numbers | None = None
) -> list[Sample]:
    """One simulated contest: contenders that are alike but for what was taken from them."""
    items = world.items(random) if items is None else items
    labels = random.integers(0, 2, world.rows)
    return [
        sample_of(name, labels, answers(labels, world.hits(random, items, less)))
        for name, less in crippled_by.items()
    ]


# -- the rates -------------------------------------------------------------------------------------------------


def ties(world: World, contenders: int = 2, repeats: int = 1_500, seed: int = 0) -> Rate:
    """The same contender under several names and with seeds of its own: all have to tie, and nobody to win."""
    random = np.random.default_rng(seed)
    boards = (
        board_of(contest(world, random, dict.fromkeys(map(str, range(contenders)), 0.0))) for _ in range(repeats)
    )
    tied = np.mean([all(row.tie_group == 1 for row in rows) and winner_of(rows) is None for rows in boards])
    what = f"one contender under {contenders} names ties: {_words(world)}"
    return Rate(what=what, share=float(tied), low=0.95, high=1.0, repeats=repeats)


def loses(world: World, points: float, low: float, repeats: int = 1_000, seed: int = 1) -> Rate:
    """A contender from which so many points were taken has to come out as worse."""
    random = np.random.default_rng(seed)
    lost = np.mean([_tells(contest(world, random, {"whole": 0.0, "crippled": points / 100})) for _ in range(repeats)])
    what = f"crippled by {points:g} points loses: {_words(world)}"
    return Rate(what=what, share=float(lost), low=low, high=1.0, repeats=repeats)


def loses_as_stated(world: World, points: float, repeats: int = 1_500, seed: int = 2) -> Rate:
    """A contender crippled by little loses as often as the power that the contests themselves state."""
    random, lost, stated = np.random.default_rng(seed), [], []
    for _ in range(repeats):
        samples = contest(world, random, {"whole": 0.0, "crippled": points / 100})
        lost.append(_tells(samples))
        stated.append(power(compare(*samples).spread, points / 100))
    said = float(np.mean(stated))
    off = 0.12 if world.seeds < 5 else 0.06  # three seeds know little of their own spread
    what = f"crippled by {points:g} points loses as often as stated, {said:.1%}: {_words(world)}"
    return Rate(what=what, share=float(np.mean(lost)), low=said - off, high=said + off, repeats=repeats)


def settles(world: World, points: float, repeats: int = 300, seed: int = 3) -> Rate:
    """With as many test rows as a small contest asks for, a difference mostly shows (80% is what it aims at)."""
    random = np.random.default_rng(seed)
    asked = [
        rows_needed(compare(*contest(world, random, {"whole": 0.0, "crippled": points / 100})).spread, points / 100)
        for _ in range(200)
    ]
    rows = int(np.median([one for one in asked if one is not None]))
    enough = World(rows=rows, seeds=world.seeds, ease=world.ease, seed_sd=world.seed_sd)
    found = loses(enough, points, 0.0, repeats, seed)
    what = f"{points:g} points show with the {rows:,} rows that {world.rows:,} rows ask for: {_words(enough)}"
    return Rate(what=what, share=found.share, low=0.55, high=0.95, repeats=repeats)


def covers(seeds: int, repeats: int = 1_500) -> Iterator[Rate]:
    """The 95% interval holds the truth, whether seeds matter little or much and scores are middling or high."""
    for ease, seed_sd, rows in ((1.5, 0.07, 500), (1.5, 0.2, 500), (1.5, 0.4, 2_000), (3.5, 0.2, 500)):
        world = World(rows=rows, seeds=seeds, ease=ease, seed_sd=seed_sd)
        random, truth, inside = np.random.default_rng(seeds), world.accuracy, 0
        for _ in range(repeats):
            found = interval_of(contest(world, random, {"a": 0.0})[0], ACCURACY)
            inside += found.low <= truth <= found.high
        what = f"the interval holds the truth, {truth:.1%}: {_words(world)}"
        yield Rate(what=what, share=inside / repeats, low=0.93, high=0.97, repeats=repeats)


def constant_wins(repeats: int = 300, rows: int = 500, seed: int = 4) -> Iterator[Rate]:
    """Of a contender that always says the larger of 90/10 classes, and one that learnt a little of both."""
    metric = get_metric(TextClassification().choose_metric({"large": 90, "small": 10})[0])
    random, draws, won, beaten = np.random.default_rng(seed), TestDraws(rows, seed=seed), 0, 0
    for _ in range(repeats):
        labels = (random.random(rows) < 0.1).astype(np.int64)
        always = answers(labels, labels == 0)[None]
        # right on 85% of the large class and 70% of the small one: accuracy would call this the worse one
        learnt = answers(labels, random.random((3, rows)) < np.where(labels == 0, 0.85, 0.7))
        rows_ = board_of([
            sample_of("constant", labels, always, metric, draws, baseline=True),
            sample_of("says the larger class", labels, always.repeat(3, axis=0), metric, draws),
            sample_of("learnt a little", labels, learnt, metric, draws),
        ])  # fmt: skip
        winner = winner_of(rows_)
        won += winner == "says the larger class"
        beaten += winner == "learnt a little"
    what = f"a constant predictor on 90/10 does not win under {metric.name}, {rows} test rows"
    yield Rate(what=what, share=1 - won / repeats, low=1.0, high=1.0, repeats=repeats)
    what = "and one that is right on 85% and 70% of the classes wins, though its accuracy is 83.5%, not 90%"
    yield Rate(what=what, share=beaten / repeats, low=0.95, high=1.0, repeats=repeats)


def adversarial_ends_without_winner(repeats: int = 400, seed: int = 5) -> Rate:
    """Where the test disagrees with the training rows, the better a contender learnt, the worse it does."""
    random, none = np.random.default_rng(seed), 0
    for _ in range(repeats):
        labels = random.integers(0, 2, 600)
        shares = {"learnt much": 0.1, "learnt some": 0.25, "learnt little": 0.45}
        rows = [
            sample_of(name, labels, answers(labels, random.random((3, 600)) < share))
            for name, share in shares.items()
        ]
        constant = sample_of("constant", labels, answers(labels, labels == 0)[None], baseline=True)
        none += winner_of(board_of([*rows, constant])) is None
    return Rate(
        what="a test that disagrees with training ends without a winner",
        share=none / repeats, low=1.0, high=1.0, repeats=repeats,
    )  # fmt: skip


def _tells(samples: Sequence[Sample]) -> bool:
    return winner_of(board_of(samples)) == samples[0].name


def _words(world: World) -> str:
    return (
        f"{world.seeds} seeds, {world.rows:,} rows, accuracy {world.accuracy:.1%}, seeds' sd {world.seed_sd:g} logits"
    )


def rates(more: int = 1) -> Iterator[Rate]:
    """Every rate. more: how many times as many repeats as the tests make."""
    for seeds in (3, 5, 10):
        yield from covers(seeds, 1_500 * more)
    for seeds in (3, 5, 10):
        for seed_sd in (0.0, 0.15):
            yield ties(World(rows=400, seeds=seeds, seed_sd=seed_sd), repeats=1_500 * more)
    yield ties(World(rows=400, seeds=5), contenders=6, repeats=150 * more)
    yield loses(World(rows=2_000, seeds=5, ease=2.5, seed_sd=0.05), 5, 0.95, 300 * more)
    yield loses_as_stated(World(rows=2_000, seeds=5, seed_sd=0.05), 2, 400 * more)
    yield loses_as_stated(World(rows=2_000, seeds=3, seed_sd=0.15), 2, 400 * more)
    yield loses_as_stated(World(rows=2_000, seeds=10, seed_sd=0.1), 2, 300 * more)
    yield settles(World(rows=400, seeds=5, seed_sd=0.05), 2, 100 * more)
    yield from constant_wins(100 * more)
    yield adversarial_ends_without_winner(100 * more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--more", type=int, default=2, help="how many times as many repeats as the tests make")
    chosen = parser.parse_args()
    missed = 0
    gc.freeze()  # a library collects garbage at every correction: not that of all that was imported
    for rate in rates(chosen.more):
        print(rate, flush=True)
        missed += not rate.holds
    raise SystemExit(missed > 0)


if __name__ == "__main__":
    main()
