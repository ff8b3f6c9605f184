"""`automl verify` computes anew what winners.json says of the search, and names what was edited in it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from automl.leaderboard.evidence import Evidence
from automl.search.recorded import check_search
from automl.search.space import load_space
from automl.types import Budget, TrialSpec
from tests.search.contests import HORIZON, RUNGS, Contest
from tests.search.test_agenda import crossing

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def contest(tmp_path: Path) -> Contest:
    """One contender's rung foretells badly and switches itself off, the other's winner is pressed against an edge."""

    def score(spec: TrialSpec, samples: int) -> float:
        if spec.contender.name == "one/full":
            return crossing(spec, samples)
        return 0.5 + 0.1 * math.log10(spec.recipe["learning_rate"]) - 0.01 * (samples < HORIZON)

    space = load_space("text_encoder_small", "full")
    found = Contest(tmp_path, budget=Budget(trials=16), space=space, score=score, fails=fails)
    found.run(slots=2)
    found.folder.write_contest(
        {
            "metric": "accuracy",
            "rungs": list(RUNGS),
            "contenders": [one.to_json() for one in found.contenders],
            "spaces": {one.name: space.to_json() for one in found.contenders},
        }
    )
    return found


def fails(spec: TrialSpec) -> str | None:
    return "boom" if spec.number == 5 else None


def wrong(contest: Contest) -> list[str]:
    return [finding.sentence() for finding in check_search(Evidence(contest.folder))]


def edit(contest: Contest, name: str, change: Any) -> None:
    file = contest.folder.winners_file
    value = json.loads(file.read_text())
    change(value["winners"][name])
    file.write_text(json.dumps(value))


def test_what_a_search_wrote_is_what_its_trials_give(contest: Contest) -> None:
    winners = contest.folder.read_winners()
    assert winners["one/full"]["foresight"][0]["stops"] is False
    assert winners["two/full"]["edges"]
    assert wrong(contest) == []


def test_an_edited_rank_correlation_is_named_with_both_values(contest: Contest) -> None:
    edit(contest, "one/full", lambda winner: winner["foresight"][0].update(kendall_tau=0.9))
    (found,) = wrong(contest)
    assert found.startswith("winners.json: one/full, after 300 samples: Kendall tau 0.9000; trials.jsonl gives -")


def test_a_rung_that_is_said_to_stop_trials_though_it_had_switched_itself_off_is_named(contest: Contest) -> None:
    edit(contest, "one/full", lambda winner: winner["foresight"][0].update(stops=True))
    assert wrong(contest) == [
        "winners.json: one/full, after 300 samples: whether the rung stops trials: True; trials.jsonl gives False"
    ]


def test_a_foresight_that_was_taken_out_is_missed(contest: Contest) -> None:
    edit(contest, "one/full", lambda winner: winner["foresight"].clear())
    (found,) = wrong(contest)
    assert "how well the rung foretold the end is missing" in found


@pytest.mark.parametrize("change", [lambda edges: edges.clear(), lambda edges: edges[0].update(side="low")])
def test_an_alarm_at_the_edge_that_was_silenced_or_turned_round_is_named(contest: Contest, change: Any) -> None:
    edit(contest, "two/full", lambda winner: change(winner["edges"]))
    (found,) = wrong(contest)
    assert (
        found
        == "winners.json: two/full: the edges on record are not those of the winner's recipe in its search space"
    )


def test_a_run_of_an_older_version_that_recorded_neither_is_not_blamed(contest: Contest) -> None:
    edit(contest, "one/full", lambda winner: (winner.pop("foresight"), winner.pop("edges")))
    assert wrong(contest) == []
