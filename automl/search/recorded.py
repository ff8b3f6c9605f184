"""Whether winners.json says of the search what the trials say: what rungs foretold, and winners at an edge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from automl.leaderboard.evidence import Evidence, Finding
from automl.metrics import get_metric
from automl.search.edges import edges
from automl.search.rungs import Rungs
from automl.search.space import SearchSpace

TAU_APART = 1e-9
"""Other versions of scipy may round a rank correlation otherwise."""


def check_search(evidence: Evidence) -> list[Finding]:
    """Each winner's foresight and edges are those that trials.jsonl and its search space give."""
    if not evidence.winners_are_fixed:
        return []
    found = []
    for name in evidence.contenders:
        winner = evidence.winners[name]
        if "foresight" in winner:  # a run of an older version recorded none
            found += _foresight(name, winner["foresight"], told_again(evidence, name))
        if "edges" in winner:
            space, recipe = SearchSpace.from_json(evidence.contest["spaces"][name]), winner["recipe"]
            if winner["edges"] != (edges(space, recipe) if recipe is not None else []):
                what = f"{name}: the edges on record are not those of the winner's recipe in its search space"
                found.append(Finding(what=what, file="winners.json"))
    return found


def told_again(evidence: Evidence, name: str) -> list[dict[str, Any]]:
    """A contender's foresight at every rung before the horizon, from its trials in the order in which they ended."""
    metric = evidence.contest["metric"]
    rungs = Rungs(tuple(evidence.contest["rungs"]), get_metric(metric).higher_is_better, protected=0)
    for one in evidence.trainings:
        trial = one.result
        if trial.contender != name or trial.kind != "trial":
            continue
        for row in trial.curve:
            if row.get("rung") is not None:
                rungs.record(trial.number, row["rung"], row[metric])
        if trial.status == "completed" and trial.validation is not None:
            rungs.settle(trial.number, trial.validation)
    return [foresight.to_json() for foresight in rungs.foresights]


def _foresight(name: str, recorded: list[dict[str, Any]], again: list[dict[str, Any]]) -> list[Finding]:
    found = []
    by_rung: Mapping[int, dict[str, Any]] = {one["rung"]: one for one in recorded}
    for one in again:
        at = f"{name}, after {one['rung']:,} samples"
        told = by_rung.get(one["rung"])
        if told is None:
            found.append(Finding(what=f"{at}: how well the rung foretold the end is missing", file="winners.json"))
            continue
        if not _same(told["kendall_tau"], one["kendall_tau"]):
            what = f"{at}: Kendall tau {_shown(told['kendall_tau'])}; trials.jsonl gives {_shown(one['kendall_tau'])}"
            found.append(Finding(what=what, file="winners.json"))
        for key, word in (("trials", "whole trials"), ("stops", "whether the rung stops trials")):
            if told[key] != one[key]:
                what = f"{at}: {word}: {told[key]}; trials.jsonl gives {one[key]}"
                found.append(Finding(what=what, file="winners.json"))
    return found


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, abs_tol=TAU_APART)


def _shown(tau: float | None) -> str:
    return "unknown" if tau is None else f"{tau:.4f}"
