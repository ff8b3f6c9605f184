"""With folds, the recipes that lead the search play for the win on the other folds, within the same budget."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from automl.leaderboard.folds import CANDIDATES, candidates, standings
from automl.types import Budget, Cost, TrialResult, TrialSpec
from tests.search.contests import Contest

pytestmark = pytest.mark.usefixtures("quick_disk")

SEEDS = (101, 102, 103, 104)


def played(contest: Contest, name: str = "one/full") -> list[TrialResult]:
    return [one for one in contest.folder.trials() if one.kind == "playoff" and one.contender == name]


def lucky(spec: TrialSpec, samples: int) -> float:
    """Trial 2 has luck on the first fold alone; trial 4 is the best on average, trial 1 the third that leads."""
    on_the_first = {2: 0.95, 4: 0.9, 1: 0.85}
    elsewhere = {2: 0.6, 4: 0.88, 1: 0.8}
    return (on_the_first if spec.fold == 1 else elsewhere).get(spec.number, 0.5)


def test_the_best_mean_over_the_folds_wins_and_not_the_luck_of_one(tmp_path: Path) -> None:
    contest = Contest(tmp_path, score=lucky, folds=4, seeds=SEEDS)
    contest.run(slots=2)
    for name in ("one/full", "two/full"):
        winner = contest.folder.read_winners()[name]
        slug = name.replace("/", "-")
        assert winner["trial"] == f"{slug}-004"
        assert winner["search_validation"] == 0.9
        assert [one["trial"] for one in winner["playoff"]] == [f"{slug}-{n}" for n in ("004", "001", "002")]
        assert winner["playoff"][0]["mean"] == pytest.approx((0.9 + 3 * 0.88) / 4)
        assert winner["reason"].startswith("best mean over 4 folds, 3 recipes having led")
        assert Counter(one.fold for one in played(contest, name)) == {2: 3, 3: 3, 4: 3}


def test_trials_share_a_fold_and_every_final_has_its_own(tmp_path: Path) -> None:
    contest = Contest(tmp_path, folds=3, seeds=SEEDS)
    contest.run()
    trials = contest.folder.trials()
    assert {one.fold for one in trials if one.kind == "trial"} == {1}
    finals = {(one.contender, one.kind, one.seed): one.fold for one in trials if one.kind in ("final", "default")}
    assert {fold for (_, _, seed), fold in finals.items() if seed == 103} == {3}
    assert {(seed, fold) for (_, _, seed), fold in finals.items()} == set(zip(SEEDS, (1, 2, 3, 4), strict=True))


def test_without_folds_nothing_plays_and_nothing_has_a_fold(tmp_path: Path) -> None:
    contest = Contest(tmp_path)
    contest.run()
    assert {one.fold for one in contest.folder.trials()} == {None}
    assert not played(contest)
    assert "playoff" not in contest.folder.read_winners()["one/full"]


def test_a_recipe_that_fails_on_a_fold_is_out(tmp_path: Path) -> None:
    def fails(spec: TrialSpec) -> str | None:
        return "no memory" if spec.kind == "playoff" and spec.number == 4 and spec.fold == 2 else None

    contest = Contest(tmp_path, names=("one",), score=lucky, fails=fails, folds=4, seeds=SEEDS)
    contest.run()
    winner = contest.folder.read_winners()["one/full"]
    assert winner["trial"] == "one-full-001"
    assert [one["mean"] is None for one in winner["playoff"]] == [False, False, True]
    assert [(one.number, one.fold) for one in played(contest) if one.number == 4] == [(4, 2)], (
        "no more is spent on it"
    )


def test_where_all_fail_the_leader_of_the_search_stays(tmp_path: Path) -> None:
    contest = Contest(
        tmp_path, names=("one",), score=lucky, folds=3, fails=lambda spec: "x" if spec.kind == "playoff" else None
    )
    contest.run()
    winner = contest.folder.read_winners()["one/full"]
    assert winner["trial"] == "one-full-002"
    assert winner["reason"].startswith("the leader of the search")


def test_one_recipe_has_nobody_to_play_against(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",), budget=Budget(trials=1), folds=5)
    contest.run()
    assert not played(contest)
    assert contest.folder.read_winners()["one/full"]["trial"] == "one-full-000"


@pytest.mark.parametrize("ended", [7, 10, 13])
def test_a_run_that_dies_in_the_play_off_goes_on_to_the_same_winner(tmp_path: Path, ended: int) -> None:
    whole = Contest(tmp_path / "whole", score=lucky, folds=4, seeds=SEEDS)
    whole.run(slots=2)
    broken = Contest(tmp_path / "broken", score=lucky, folds=4, seeds=SEEDS)
    broken.run(slots=2, most=ended)
    again = Contest(tmp_path / "broken", score=lucky, folds=4, seeds=SEEDS)
    again.run(slots=2)
    assert again.folder.read_winners() == whole.folder.read_winners()
    ids = [one.id for one in again.folder.trials()]
    assert sorted(ids) == sorted(one.id for one in whole.folder.trials())
    assert len(ids) == len(set(ids))


def test_a_budget_in_seconds_pays_for_trials_and_play_off_out_of_the_search_and_leaves_the_finals_theirs(
    tmp_path: Path,
) -> None:
    contest = Contest(tmp_path, budget=Budget(device_seconds=400.0), folds=5, seeds=(101, 102))
    contest.run(slots=2)
    for name in ("one/full", "two/full"):
        own = [one for one in contest.folder.trials() if one.contender == name]
        spent = {kind: sum(one.cost.device_seconds for one in own if one.kind == kind) for kind in
                 ("trial", "playoff", "final", "default")}  # fmt: skip
        assert 0 < spent["trial"] <= 120
        assert spent["trial"] + spent["playoff"] <= 240
        folds = Counter(one.fold for one in played(contest, name))
        assert folds
        assert set(folds.values()) == {CANDIDATES}, "a fold is played by all that lead or by none"
        assert sum(spent.values()) == pytest.approx(contest.ledger.spent(name))
        assert sum(spent.values()) <= 400


def test_a_time_limit_leaves_the_finals_their_share_whatever_the_folds(tmp_path: Path) -> None:
    contest = Contest(tmp_path, budget=Budget(trials=100), time_limit=300.0, folds=5, seeds=(101, 102))
    contest.run(slots=2)
    assert contest.now <= 300
    counts = Counter((one.contender, one.kind) for one in contest.folder.trials())
    for name in ("one/full", "two/full"):
        assert counts[name, "playoff"] > 0
        assert counts[name, "final"] == 2


@pytest.mark.parametrize("limited", ["budget", "time"])
def test_nothing_is_kept_for_a_play_off_before_two_recipes_could_play_it(tmp_path: Path, limited: str) -> None:
    budget = Budget(device_seconds=40.0) if limited == "budget" else Budget(trials=100)
    limit = 40.0 if limited == "time" else None
    contest = Contest(tmp_path, names=("one",), budget=budget, time_limit=limit, folds=5)  # 24 s, 10 s a training
    contest.run()
    kinds = Counter(one.kind for one in contest.folder.trials() if one.status == "completed")
    assert (kinds["trial"], kinds["playoff"]) == (2, 0)
    assert kinds["final"] >= 1


def test_standings_count_the_folds_that_every_candidate_has_played() -> None:
    def training(number: int, fold: int, value: float) -> TrialResult:
        kind = "trial" if fold == 1 else "playoff"
        return TrialResult(
            id=f"{number}-{fold}", kind=kind, contender="a", status="completed", recipe={"n": number}, seed=1,
            horizon_samples=1, curve=(), validation=value, cost=Cost(), error=None, predictions_file=None,
            split_fingerprint="", environment={}, started_at="", ended_at="", number=number, fold=fold,
        )  # fmt: skip

    told = [training(0, 1, 0.8), training(1, 1, 0.7), training(0, 2, 0.5), training(1, 2, 0.9), training(0, 3, 1.0)]
    first, second = standings(told, higher_is_better=True)
    assert (first.trial.number, first.mean, first.folds) == (1, pytest.approx(0.8), 2)
    assert (second.trial.number, second.mean) == (0, pytest.approx(0.65))


def test_an_extended_run_plays_again_with_those_that_lead_now_and_trains_nothing_twice(tmp_path: Path) -> None:
    def later(spec: TrialSpec, samples: int) -> float:
        return 0.97 if spec.number == 7 else lucky(spec, samples)

    first = Contest(tmp_path, names=("one",), score=later, folds=3, budget=Budget(trials=6))
    first.run()
    before = {one.id for one in first.folder.trials()}
    first.folder.reopen_winners()
    more = Contest(tmp_path, names=("one",), score=later, folds=3, budget=Budget(trials=8))
    more.run()
    assert more.folder.read_winners()["one/full"]["trial"] == "one-full-007"
    added = [one for one in played(more) if one.id not in before]
    assert [(one.number, one.fold) for one in added] == [(7, 2), (7, 3)]


def test_the_last_that_is_in_plays_no_further_than_the_fold_on_which_the_others_went_out(tmp_path: Path) -> None:
    def fails(spec: TrialSpec) -> str | None:
        return "x" if spec.kind == "playoff" and spec.number != 4 and spec.fold == 3 else None

    contest = Contest(tmp_path, names=("one",), score=lucky, fails=fails, folds=5)
    contest.run()
    assert contest.folder.read_winners()["one/full"]["trial"] == "one-full-004"
    assert Counter(one.fold for one in played(contest)) == {2: 3, 3: 3}


def test_a_recipe_that_was_tried_twice_plays_once() -> None:
    def trial(number: int, rate: float, value: float) -> TrialResult:
        return TrialResult(
            id=f"{number}", kind="trial", contender="a", status="completed", recipe={"rate": rate}, seed=1,
            horizon_samples=1, curve=(), validation=value, cost=Cost(), error=None, predictions_file=None,
            split_fingerprint="", environment={}, started_at="", ended_at="", number=number, fold=1,
        )  # fmt: skip

    told = [trial(0, 0.1, 0.9), trial(1, 0.2, 0.8), trial(2, 0.1, 0.9), trial(3, 0.3, 0.5), trial(4, 0.4, 0.4)]
    assert [one.number for one in candidates(told, higher_is_better=True)] == [0, 1, 3]
