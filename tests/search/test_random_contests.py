"""Budgets and time limits over many random contests: 1 to 4 contenders, 1 to 4 slots, trainings of any length."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from automl.search.space import load_space
from automl.types import Budget, TrialSpec
from tests.search.contests import HORIZON, Contest

pytestmark = pytest.mark.usefixtures("quick_disk")

SIXTHS = tuple(HORIZON * part // 6 for part in range(1, 7))
SPACE = load_space("text_encoder_small", "full").for_trials(4)
NOISE = 1.5
"""A training takes up to so many times what its contender's usual one does, or as many times less."""


class Drawn:
    """A contest's terms, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.names = ("one", "two", "three", "four")[: draw.randint(1, 4)]
        self.slots = draw.randint(1, 4)
        self.usual = {f"{name}/full": 10 ** draw.uniform(0.5, 1.7) for name in self.names}
        self.most_usual = max(self.usual.values())
        self.seeds = tuple(range(101, 101 + draw.randint(1, 3)))
        self.allowed = self.most_usual * draw.uniform(0.5, 12)
        self._seed = seed

    def seconds(self, spec: TrialSpec) -> float:
        # by name, so that a contest that is resumed meets the same trainings
        return self.usual[spec.contender.name] * NOISE ** random.Random(f"{self._seed} {spec.id}").uniform(-1, 1)

    def score(self, spec: TrialSpec, samples: int) -> float:
        return random.Random(f"{self._seed} {spec.id} {samples}").uniform(0.5, 0.9)

    def fails(self, spec: TrialSpec) -> str | None:
        return "boom" if spec.kind == "trial" and random.Random(f"{self._seed}{spec.id}f").random() < 0.1 else None

    def contest(self, path: Path, **terms: Any) -> Contest:
        return Watched(
            path, names=self.names, seeds=self.seeds, seconds=self.seconds, score=self.score, fails=self.fails,
            evaluations=SIXTHS, space=SPACE, sampler="random", **terms,
        )  # fmt: skip


class Watched(Contest):
    """Looks at the share of whoever starts a trial."""

    def start(self) -> TrialSpec | None:
        spec = super().start()
        if spec is not None and spec.kind == "trial":
            left = self.ledger.left_for_search(spec.contender.name)
            assert left is None or left > self.agenda.entries[spec.contender.name].pace.running_seconds
        return spec


def check_finals(contest: Contest) -> None:
    """Equally many for all whose search left something to train, and one at least."""
    counts = {
        name: Counter(t.kind for t in contest.folder.trials() if t.contender == name)["final"]
        for name, winner in contest.folder.read_winners().items()
        if winner["recipe"] is not None
    }
    assert len(set(counts.values())) <= 1, counts
    assert all(counts.values()), counts


@pytest.mark.parametrize("block", range(4))
def test_no_search_starts_a_trial_above_its_share_or_ends_above_it_by_more_than_a_rung(
    tmp_path: Path, block: int
) -> None:
    for seed in range(20 * block, 20 * (block + 1)):
        drawn = Drawn(seed)
        contest = drawn.contest(tmp_path / str(seed), budget=Budget(device_seconds=drawn.allowed))
        share = 0.6 * drawn.allowed
        contest.run(slots=drawn.slots)
        assert contest.agenda.finished
        assert set(contest.folder.read_winners()) == set(drawn.usual)
        for name, usual in drawn.usual.items():
            trials = [t for t in contest.folder.trials() if t.contender == name and t.kind == "trial"]
            searched = sum(t.cost.device_seconds for t in trials)
            longest_rung = usual * NOISE / 3
            assert trials, seed
            assert searched <= share + longest_rung, (seed, name)
            ledger = sum(s.device_seconds for s in contest.folder.ledger() if s.contender == name)
            assert ledger == pytest.approx(
                sum(t.cost.device_seconds for t in contest.folder.trials() if t.contender == name)
            )
        check_finals(contest)


@pytest.mark.parametrize("trainings", [(0.3, 1.0), (1.0, 3.0), (3.0, 6.0)])
def test_at_a_time_limit_there_is_a_final_of_each_and_what_is_late_is_late_by_them_alone(
    tmp_path: Path, trainings: tuple[float, float]
) -> None:
    """trainings: how many of the longest kind fit into the limit; into the first, not even one."""
    for seed in range(15):
        drawn = Drawn(seed)
        turns = -(-len(drawn.names) // drawn.slots)
        one_each = turns * drawn.most_usual
        limit = one_each * random.Random(seed).uniform(*trainings)
        contest = drawn.contest(tmp_path / str(seed), budget=Budget(trials=500), time_limit=limit)
        contest.run(slots=drawn.slots)
        assert contest.agenda.finished
        check_finals(contest)
        first_told = drawn.most_usual * NOISE / 2  # nobody can be stopped before; one that fails tells at its half
        assert contest.now <= max(limit, first_told) + NOISE * one_each, seed
        if trainings[0] >= 3:
            assert contest.now <= limit + drawn.most_usual / 3, seed
