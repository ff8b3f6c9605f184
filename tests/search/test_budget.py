"""What a contender may spend, and what is left at the limits; hours of search on a clock that is a number."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from automl.types import Budget, TrialSpec
from tests.search.contests import HORIZON, Contest

pytestmark = pytest.mark.usefixtures("quick_disk")

SIXTHS = tuple(HORIZON * part // 6 for part in range(1, 7))


def spent(contest: Contest, name: str, *kinds: str) -> float:
    ended = [t for t in contest.folder.trials() if t.contender == name and t.kind in kinds]
    return sum(trial.cost.device_seconds for trial in ended)


def finals(contest: Contest, name: str) -> Counter[str]:
    return Counter(t.kind for t in contest.folder.trials() if t.contender == name and t.kind != "trial")


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("seconds", [7.0, 25.0, 50.0, 70.0])
def test_no_search_ends_above_its_share_by_more_than_a_rung_of_each_running_trial(
    tmp_path: Path, slots: int, seconds: float
) -> None:
    contest = Contest(tmp_path, budget=Budget(device_seconds=200), seconds=lambda spec: seconds, evaluations=SIXTHS)
    contest.run(slots=slots)
    for name in ("one/full", "two/full"):
        running = -(-slots // 2)  # trials of one contender at a time: the slots are shared
        assert spent(contest, name, "trial") <= 120 + running * seconds / 3
        assert finals(contest, name)["final"] >= 1


def test_a_trial_that_the_share_cannot_pay_to_its_end_is_not_begun(tmp_path: Path) -> None:
    """It could not win: what is left helps the finals more."""
    contest = Contest(tmp_path, names=("one",), budget=Budget(device_seconds=200), seconds=lambda spec: 50.0)
    contest.run()
    trials = [t for t in contest.folder.trials() if t.kind == "trial"]
    assert [t.status for t in trials] == ["completed", "completed"]


def test_a_first_trial_larger_than_the_share_is_stopped_early_and_the_default_stands_in(tmp_path: Path) -> None:
    def seconds(spec: TrialSpec) -> float:
        return 600.0 if spec.contender.name == "one/full" else 10.0

    contest = Contest(tmp_path, budget=Budget(device_seconds=200), seconds=seconds, evaluations=SIXTHS)
    contest.run()
    winner = contest.folder.read_winners()["one/full"]
    (trial,) = (t for t in contest.folder.trials() if t.contender == "one/full" and t.kind == "trial")
    assert trial.status == "pruned"
    assert 120 <= trial.cost.device_seconds <= 120 + 600 / 6
    assert winner["trial"] is None
    assert winner["is_default"]
    assert winner["reason"].startswith("no trial reached the full horizon before its share of the budget was spent")
    assert finals(contest, "one/full") == {"final": 1}  # one always runs: there is a board and a model
    assert contest.folder.read_winners()["two/full"]["trial"] is not None


def test_a_trial_at_its_horizon_is_whole_even_where_the_share_is_spent_just_then(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",), budget=Budget(device_seconds=200), seconds=lambda spec: 120.0)
    contest.run()
    (trial,) = (t for t in contest.folder.trials() if t.kind == "trial")
    assert trial.status == "completed"
    assert contest.folder.read_winners()["one/full"]["trial"] == trial.id


def test_a_running_trial_has_spent_though_the_ledger_does_not_know_it_yet(tmp_path: Path) -> None:
    """Else four slots would all start trials of a contender whose first ones have already used the share up."""
    contest = Contest(
        tmp_path, names=("one",), budget=Budget(device_seconds=200), seconds=lambda s: 90.0, evaluations=SIXTHS
    )
    contest.run(slots=4)
    assert spent(contest, "one/full", "trial") <= 120 + 4 * 90 / 6


def test_contenders_share_the_slots_from_the_first_start_on(tmp_path: Path) -> None:
    contest = Contest(tmp_path, budget=Budget(device_seconds=2000), seconds=lambda spec: 30.0)
    for _ in range(4):
        contest.start()
    assert [name.split("-")[0] for name in contest.log] == ["one", "two", "one", "two"]


def test_a_slow_contender_does_not_take_the_slots_of_a_fast_one(tmp_path: Path) -> None:
    def seconds(spec: TrialSpec) -> float:
        return 30.0 if spec.contender.name == "one/full" else 3.0

    contest = Contest(tmp_path, budget=Budget(device_seconds=300), seconds=seconds, evaluations=SIXTHS)
    contest.run(slots=2)
    for name in ("one/full", "two/full"):
        assert 140 <= spent(contest, name, "trial") <= 180 + 15


@pytest.mark.parametrize("slots", [1, 3])
def test_every_contender_has_equally_many_finals_whatever_the_budget_pays_for(tmp_path: Path, slots: int) -> None:
    """Rows with different numbers of finals could not be compared."""

    def seconds(spec: TrialSpec) -> float:
        return {"one/full": 20.0, "two/full": 4.0, "three/full": 9.0}[spec.contender.name]

    contest = Contest(
        tmp_path,
        names=("one", "two", "three"),
        budget=Budget(device_seconds=200),
        seeds=(101, 102, 103, 104, 105),
        seconds=seconds,
        evaluations=SIXTHS,
    )
    contest.run(slots=slots)
    counts = {name: finals(contest, f"{name}/full")["final"] for name in ("one", "two", "three")}
    assert len(set(counts.values())) == 1
    assert 1 <= counts["one"] < 5
    for name in counts:
        assert contest.ledger.spent(f"{name}/full") <= 200 + 20


def test_a_budget_that_pays_for_all_finals_pays_for_all(tmp_path: Path) -> None:
    contest = Contest(tmp_path, budget=Budget(device_seconds=1000), seconds=lambda spec: 10.0)
    contest.run(slots=2)
    for name in ("one/full", "two/full"):
        assert finals(contest, name)["final"] == 2


def test_no_more_trials_start_than_a_share_is_foretold_to_pay(tmp_path: Path) -> None:
    found = {}
    for foretold in (0.0, 50.0):
        contest = Contest(
            tmp_path / f"{foretold}", names=("one",), budget=Budget(device_seconds=200), seconds=lambda spec: 50.0
        )
        contest.agenda.expect({"one/full": foretold})
        contest.run(slots=5)
        found[foretold] = Counter(trial.status for trial in contest.folder.trials() if trial.kind == "trial")
    assert found[50.0] == {"completed": 2}  # of 120 s; nothing is cut
    assert sum(found[0.0].values()) == 5


def test_a_share_that_is_foretold_to_pay_no_trial_still_begins_one(tmp_path: Path) -> None:
    contest = Contest(tmp_path, budget=Budget(device_seconds=100), seconds=lambda spec: 10.0, evaluations=SIXTHS)
    contest.agenda.expect({"one/full": 1_000.0, "two/full": 1_000.0})
    contest.run()
    for name in ("one/full", "two/full"):  # and once one has told its pace, that is what counts
        assert sum(trial.contender == name and trial.kind == "trial" for trial in contest.folder.trials()) > 3


def test_time_that_the_finals_are_foretold_to_need_is_kept_back_before_any_trial_has_told(tmp_path: Path) -> None:
    for foretold, kind in ((0.0, "trial"), (60.0, "final")):
        contest = Contest(tmp_path / kind, budget=Budget(trials=500), time_limit=100.0)
        contest.agenda.expect({"one/full": foretold, "two/full": foretold})
        first = contest.start()
        assert first is not None
        assert first.kind == kind


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("limit", [100.0, 400.0])
def test_at_the_time_limit_there_are_winners_and_equally_many_finals(
    tmp_path: Path, slots: int, limit: float
) -> None:
    contest = Contest(
        tmp_path,
        names=("one", "two", "three"),
        budget=Budget(trials=500),
        time_limit=limit,
        seconds=lambda spec: 10.0,
        evaluations=SIXTHS,
    )
    contest.run(slots=slots)
    assert contest.now <= limit
    counts = {finals(contest, f"{name}/full")["final"] for name in ("one", "two", "three")}
    assert len(counts) == 1
    assert counts.pop() >= 1


def test_time_for_a_final_of_each_is_kept_where_it_is_more_than_the_usual_share(tmp_path: Path) -> None:
    """Trainings of 100 s, 250 s in all: at 60% of the limit a search would leave too little for two finals."""
    contest = Contest(
        tmp_path, budget=Budget(trials=500), time_limit=250.0, seconds=lambda spec: 100.0, evaluations=SIXTHS
    )
    contest.run(slots=1)
    assert contest.now <= 250
    for name in ("one/full", "two/full"):
        assert finals(contest, name) == {"final": 1}


def test_at_the_time_limit_running_trials_are_stopped_and_cannot_win(tmp_path: Path) -> None:
    contest = Contest(
        tmp_path,
        names=("one",),
        budget=Budget(trials=500),
        time_limit=100.0,
        seconds=lambda spec: 25.0,
        score=lambda spec, samples: 0.9 if spec.number == 2 else 0.5,
        evaluations=SIXTHS,
    )
    contest.run()
    by_number = {t.number: t for t in contest.folder.trials() if t.kind == "trial"}
    assert by_number[2].status == "pruned"
    assert contest.folder.read_winners()["one/full"]["trial"] == by_number[0].id


def test_a_limited_run_that_died_goes_on_with_equally_many_finals(tmp_path: Path) -> None:
    def contest(place: str) -> Contest:
        return Contest(
            tmp_path / place, budget=Budget(device_seconds=300), seconds=lambda spec: 12.0, seeds=(1, 2, 3)
        )

    whole = contest("whole")
    whole.run()
    for ended in range(1, len(whole.folder.trials()), 8):
        contest(f"died-{ended}").run(most=ended)
        resumed = contest(f"died-{ended}")
        resumed.run()
        told = [{t.id: (t.recipe, t.status) for t in c.folder.trials()} for c in (whole, resumed)]
        assert told[0] == told[1]


def test_what_a_retried_trial_had_lost_counts_against_its_share(tmp_path: Path) -> None:
    """A crash that cost nothing would be budget for free."""
    contest = Contest(tmp_path, names=("one",), budget=Budget(device_seconds=200), seconds=lambda spec: 10.0)
    spec = contest.start()
    assert spec is not None
    row = {"samples_seen": 300, "accuracy": 0.5, "device_seconds": 121.0}  # 111 of them by an attempt that died
    assert not contest.agenda.goes_on(spec, row, 300, 0.5, 0.0)
