from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from automl.search.space import SearchSpace, load_space
from automl.search.study import SamplerName, open_journal
from automl.types import Budget, Spend, TrialSpec
from tests.search.contests import HORIZON, RUNGS, Contest

pytestmark = pytest.mark.usefixtures("quick_disk")


def statuses(contest: Contest, name: str) -> Counter[tuple[str, str]]:
    return Counter((t.kind, t.status) for t in contest.folder.trials() if t.contender == name)


def test_every_contender_gets_the_same_number_of_trials_and_finals(tmp_path: Path) -> None:
    contest = Contest(tmp_path)
    contest.run(slots=2)
    for name in ("one/full", "two/full"):
        kinds = Counter(kind for kind, _ in statuses(contest, name).elements())
        assert kinds["trial"] == 6
        assert kinds["final"] == 2
    winners = contest.folder.read_winners()
    assert set(winners) == {"one/full", "two/full"}


def test_contenders_take_turns(tmp_path: Path) -> None:
    contest = Contest(tmp_path)
    contest.run()
    trials = [id_.split("-")[0] for id_ in contest.log if id_.split("-")[-1] in {"000", "001", "002"}]
    assert trials == ["one", "two"] * 3


def test_the_winner_is_the_best_that_reached_the_horizon(tmp_path: Path) -> None:
    # trial 4 shines at the first rung and is stopped there: its value must not win
    def score(spec: TrialSpec, samples: int) -> float:
        if spec.kind != "trial":
            return 0.5
        return {0: 0.6, 1: 0.7, 2: 0.65}.get(spec.number, 0.99 if samples < HORIZON else 0.1)

    contest = Contest(tmp_path, names=("one",), score=score)
    contest.run()
    winner = contest.folder.read_winners()["one/full"]
    assert winner["trial"] == "one-full-001"
    assert winner["search_validation"] == 0.7


def test_of_equal_trials_the_untuned_default_wins(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",), score=lambda spec, samples: 0.5)
    contest.run()
    winner = contest.folder.read_winners()["one/full"]
    assert winner["trial"] == "one-full-000"
    assert winner["is_default"]
    kinds = Counter(t.kind for t in contest.folder.trials())
    assert kinds == {"trial": 6, "final": 2}  # the default's finals would repeat the winner's


def test_finals_run_on_fresh_seeds_shared_by_winner_default_and_all_contenders(tmp_path: Path) -> None:
    contest = Contest(tmp_path)
    contest.run()
    seeds = {(t.contender, t.kind, t.seed) for t in contest.folder.trials() if t.kind in ("final", "default")}
    search_seeds = {t.seed for t in contest.folder.trials() if t.kind == "trial"}
    for name in ("one/full", "two/full"):
        assert {s for c, k, s in seeds if c == name and k == "final"} == {101, 102}
    assert not search_seeds & {101, 102}


def test_a_contender_whose_trials_all_fail_keeps_its_reason_and_spends(tmp_path: Path) -> None:
    contest = Contest(tmp_path, fails=lambda spec: "no such layer" if "one" in spec.id else None)
    contest.run()
    assert contest.folder.read_winners()["one/full"]["recipe"] is None
    assert contest.folder.read_winners()["one/full"]["reason"] == "no such layer"
    assert statuses(contest, "one/full") == {("trial", "failed"): 6}
    assert contest.ledger.spent("one/full") == pytest.approx(30)
    assert contest.folder.read_winners()["two/full"]["trial"] is not None


def test_no_contender_starts_a_trial_when_its_search_share_is_spent(tmp_path: Path) -> None:
    budget = Budget(device_seconds=200)
    contest = Contest(tmp_path, budget=budget, seconds=lambda s: 30.0 if "one" in s.id else 5.0)
    contest.run(slots=2)
    for name, slow in (("one/full", 30.0), ("two/full", 5.0)):
        search = sum(
            t.cost.device_seconds for t in contest.folder.trials() if t.contender == name and t.kind == "trial"
        )
        assert search <= 120 + slow
        assert contest.ledger.spent(name) <= 200 + slow
        assert statuses(contest, name)[("final", "completed")] >= 1
    assert len([t for t in contest.folder.trials() if t.contender == "two/full" and t.kind == "trial"]) > 15


def test_the_ledger_sums_to_what_every_training_spent_failures_included(tmp_path: Path) -> None:
    contest = Contest(tmp_path, fails=lambda s: "boom" if s.id.endswith("003") else None)
    contest.run(slots=2)
    for name in ("one/full", "two/full"):
        spent = sum(t.cost.device_seconds for t in contest.folder.trials() if t.contender == name)
        assert sum(s.device_seconds for s in contest.folder.ledger() if s.contender == name) == pytest.approx(spent)
        assert contest.ledger.spent(name) == pytest.approx(spent)


@pytest.mark.parametrize("ended", [0, 1, 3, 7, 13, 15])
def test_a_run_that_died_goes_on_as_if_it_had_not(tmp_path: Path, ended: int) -> None:
    whole = Contest(tmp_path / "whole")
    whole.run()
    died = Contest(tmp_path / "died")
    died.run(most=ended)
    died.start()  # one more had begun when everything was killed
    resumed = Contest(tmp_path / "died")
    resumed.run()
    recipes = [{t.id: (t.recipe, t.validation, t.status) for t in c.folder.trials()} for c in (whole, resumed)]
    assert recipes[0] == recipes[1]
    assert resumed.folder.read_winners() == whole.folder.read_winners()
    assert resumed.log[:1] == died.log[-1:]  # what was running goes first
    assert len(died.log) + len(resumed.log) - 1 == len(whole.log)


def test_what_a_crash_left_uncharged_is_charged_on_resume(tmp_path: Path) -> None:
    contest = Contest(tmp_path)
    contest.run(most=3)
    lines = contest.folder.ledger_file.read_text().splitlines()
    contest.folder.ledger_file.write_text("\n".join(lines[:-1]) + "\n")
    resumed = Contest(tmp_path)
    assert len(resumed.folder.ledger()) == len(lines)


def test_at_the_time_limit_every_contender_still_has_a_winner_and_a_final(tmp_path: Path) -> None:
    contest = Contest(tmp_path, budget=Budget(trials=500), time_limit=100.0)
    contest.run()
    assert contest.now < 150
    for name in ("one/full", "two/full"):
        assert statuses(contest, name)[("final", "completed")] >= 1
    trials = [t for t in contest.folder.trials() if t.kind == "trial"]
    assert 0 < len(trials) < 20


def test_a_limit_that_no_trial_fits_into_falls_back_to_the_default_recipe(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",), seconds=lambda s: 100.0, time_limit=10.0)
    contest.run()
    winner = contest.folder.read_winners()["one/full"]
    assert winner["trial"] is None
    assert winner["is_default"]
    assert "time" in winner["reason"]
    assert statuses(contest, "one/full")[("final", "completed")] == 1


def crossing(spec: TrialSpec, samples: int) -> float:
    """Who leads at the first rung ends last."""
    step = 0.01 * (spec.number % 50)
    return 0.5 + step if samples < HORIZON else 0.9 - step


def test_early_stopping_switches_itself_off_where_it_foretells_badly_and_that_is_on_record(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",), budget=Budget(trials=16), score=crossing)
    contest.run()
    (told,) = contest.folder.read_winners()["one/full"]["foresight"]
    assert told["kendall_tau"] < 0.4
    assert told["trials"] >= 6
    assert told["stops"] is False
    assert any("no trial is stopped there any more" in note for note in contest.notes)
    trials = {t.number: t.status for t in contest.folder.trials() if t.kind == "trial"}
    assert trials[15] == "completed"


def test_early_stopping_that_foretells_well_stays_on_and_is_told_as_well(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",), budget=Budget(trials=16))
    contest.run()
    (told,) = contest.folder.read_winners()["one/full"]["foresight"]
    assert told["kendall_tau"] > 0.9
    assert told["stops"] is True
    assert any("Kendall tau" in note for note in contest.notes)


@pytest.mark.parametrize("slots", [1, 3])
def test_early_stopping_that_switched_itself_off_is_off_after_a_crash_too(tmp_path: Path, slots: int) -> None:
    """Ray forgets its scheduler's state when a run is restored; here it follows from trials.jsonl."""
    contest = Contest(tmp_path, names=("one",), budget=Budget(trials=40), score=crossing)
    contest.run(slots=slots, most=12)
    before = contest.agenda.entries["one/full"].rungs
    resumed = Contest(tmp_path, names=("one",), budget=Budget(trials=40), score=crossing)
    after = resumed.agenda.entries["one/full"].rungs
    assert after.foresights == before.foresights
    assert not after.foresights[0].stops


def test_rungs_hold_after_a_crash_what_they_held_before(tmp_path: Path) -> None:
    contest = Contest(tmp_path, names=("one",), budget=Budget(trials=40))
    contest.run(most=15)
    resumed = Contest(tmp_path, names=("one",), budget=Budget(trials=40))
    before, after = (c.agenda.entries["one/full"].rungs for c in (contest, resumed))
    assert [after.values(rung) for rung in RUNGS] == [before.values(rung) for rung in RUNGS]


def test_a_winner_at_the_edge_of_its_range_is_on_record_with_parameter_and_side(tmp_path: Path) -> None:
    """The best learning rate lies far above the searched range, so the winner is pressed against its end."""
    space = load_space("text_encoder_small", "full")
    contest = Contest(
        tmp_path,
        names=("one",),
        budget=Budget(trials=40),
        space=space,
        score=lambda spec, samples: 0.5 + 0.1 * math.log10(spec.recipe["learning_rate"]),
    )
    contest.run()
    found = {e["parameter"]: e for e in contest.folder.read_winners()["one/full"]["edges"]}
    assert found["learning_rate"]["side"] == "high"
    assert found["learning_rate"]["can_widen"]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "grid"])
def test_no_trial_is_left_running_after_a_kill_and_a_resume(tmp_path: Path, sampler: SamplerName) -> None:
    """OptunaSearch leaves RUNNING trials behind for ever, and TPE's liar keeps away from them."""
    budget = Budget(trials=8)
    contest = Contest(tmp_path, names=("one",), budget=budget, sampler=sampler)
    contest.run(slots=3, most=4)
    resumed = Contest(tmp_path, names=("one",), budget=budget, sampler=sampler)
    resumed.run(slots=3)
    assert TrialState.RUNNING not in {trial.state for trial in resumed.agenda.entries["one/full"].study.trials}
    stored = optuna.load_study(study_name="one/full", storage=open_journal(resumed.folder.studies))
    assert len(stored.trials) == 8
    assert TrialState.RUNNING not in {trial.state for trial in stored.trials}


def test_a_grid_that_is_through_ends_the_search(tmp_path: Path) -> None:
    whole = load_space("text_encoder_small", "full")
    choices = tuple(p for p in whole.parameters if p.name == "batch_size")
    space = SearchSpace(name="s", adaptation="full", parameters=choices, fixed=whole.complete({}), first_trials=({},))
    contest = Contest(tmp_path, names=("one",), budget=Budget(trials=40), space=space, sampler="grid")
    contest.run()
    trials = [t for t in contest.folder.trials() if t.kind == "trial"]
    assert sorted(t.recipe["batch_size"] for t in trials) == sorted(choices[0].choices)
    assert contest.folder.read_winners()["one/full"]["trial"] is not None


def test_every_trial_of_every_contender_has_the_same_seed(tmp_path: Path) -> None:
    """Ludwig gives every trial a seed of its own: the best of them is then also the luckiest."""
    contest = Contest(tmp_path)
    contest.run(slots=2)
    assert len({t.seed for t in contest.folder.trials() if t.kind == "trial"}) == 1


def test_a_trial_that_crashed_is_failed_on_record_and_never_pruned(tmp_path: Path) -> None:
    """Ludwig calls crashed trials pruned, so nobody sees that they crashed."""
    contest = Contest(tmp_path, names=("one",), fails=lambda spec: "boom" if spec.number == 4 else None)
    contest.run()
    (crashed,) = (t for t in contest.folder.trials() if t.number == 4 and t.kind == "trial")
    assert (crashed.status, crashed.error) == ("failed", "boom")


def test_half_a_ledger_entry_is_completed_on_resume(tmp_path: Path) -> None:
    """A crash between two kinds of spending of one training: the second would be for free."""
    contest = Contest(tmp_path, names=("one",))
    spec = contest.start()
    assert spec is not None
    for _ in contest.steps(spec):
        pass
    (result,) = contest.folder.trials()
    spent = {"train": 8.0, "validate": 2.0}
    contest.folder.trials_file.unlink()
    contest.folder.ledger_file.unlink()
    contest.folder.append_trial(replace(result, spent=spent))
    first = Spend(contender="one/full", trial=result.id, kind="train", device_seconds=8.0, at="")
    contest.folder.append_spend(first)
    resumed = Contest(tmp_path, names=("one",))
    assert {s.kind: s.device_seconds for s in resumed.folder.ledger()} == spent
    assert resumed.ledger.spent("one/full") == pytest.approx(10.0)
