"""Why the rows of a run may not be compared: every rule of a fair contest that its records show broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from automl.leaderboard.score import ScoredRun
from automl.leaderboard.store import RunFolder
from automl.types import TrialResult

OVERRUN = 1.10
"""A training in flight is not cut in the middle of a step, so a budget may end a tenth late."""

_PLACES = {"device": "devices", "cpu": "kinds of CPU", "precision": "precisions", "versions_sha": "package versions"}


def not_comparable_because(folder: RunFolder, scored: ScoredRun) -> list[str]:
    """One sentence a broken rule; empty for a fair contest."""
    contest, trials = folder.read_contest(), folder.trials()
    return [
        *_splits(folder, contest, trials),
        *_finals(folder, contest, trials, scored),
        *_budgets(folder, contest, trials),
        *places(trials),
        *_horizons(contest, trials),
        *_adaptive(folder, trials),
    ]


def _splits(folder: RunFolder, contest: Mapping[str, Any], trials: list[TrialResult]) -> Iterator[str]:
    """Every row of the board saw the same rows of data."""
    sealed = contest["split_fingerprint"]
    strangers = [one.id for one in [*trials, *folder.baselines()] if one.split_fingerprint != sealed]
    if strangers:
        yield f"{_some(strangers)} used another split of the data than the contest"
    if folder.split().get("fingerprint", sealed) != sealed:
        yield "the split in the run folder is not the one that the contest was drawn up with"


def _finals(
    folder: RunFolder, contest: Mapping[str, Any], trials: list[TrialResult], scored: ScoredRun
) -> Iterator[str]:
    """Winners reached the full horizon; finals use their recipe, on fresh seeds, equally often."""
    counts = {name: len(one.trainings) for name, one in scored.finals.items() if one.trainings}
    if len(set(counts.values())) > 1:
        yield f"contenders have different numbers of finals ({_unequal(counts)})"
    elif counts and set(counts.values()) != {len(contest["seeds"])} and not limited(contest):
        yield f"every contender has {next(iter(counts.values()))} finals instead of {len(contest['seeds'])}"
    by_id = {one.id: one for one in trials}
    superseded = folder.superseded()
    for name, winner in folder.read_winners().items():
        finals = [one for one in trials if one.contender == name and one.kind == "final" and one.id not in superseded]
        strange = [one.id for one in finals if one.recipe != (winner or {}).get("recipe")]
        if strange:
            yield f"{_some(strange)} did not use the winning recipe of {name}"
        chosen = by_id.get((winner or {}).get("trial") or "")
        if chosen is not None and chosen.status != "completed":
            yield f"the winner of {name}, {chosen.id}, did not reach the full horizon"
    seeds = set(contest["seeds"])
    odd = [one.id for one in trials if one.kind in ("final", "default") and one.seed not in seeds]
    if odd:
        yield f"{_some(odd)} used a seed that the contest does not share"
    if any(one.kind == "trial" and one.seed in seeds for one in trials):
        yield "a seed of the finals was already used in the search"


def _budgets(folder: RunFolder, contest: Mapping[str, Any], trials: list[TrialResult]) -> Iterator[str]:
    """Everybody got the same, nobody took more, and the ledger holds all that was spent."""
    spent: dict[str, float] = {}
    for spend in folder.ledger():
        spent[spend.contender] = spent.get(spend.contender, 0.0) + spend.device_seconds
    names = [value["name"] for value in contest["contenders"]]
    for name in names:
        used = sum(one.cost.device_seconds for one in trials if one.contender == name)
        if used > 1.01 * spent.get(name, 0.0) + 0.1:
            yield f"the ledger holds {spent.get(name, 0.0):.1f} of the {used:.1f} device-seconds {name} used"
    budget = contest["budget"]
    if budget.get("device_seconds"):
        for name in names:
            if spent.get(name, 0.0) > OVERRUN * budget["device_seconds"]:
                allowed = budget["device_seconds"]
                yield f"{name} spent {spent[name]:.0f} device-seconds of the {allowed:.0f} allowed"
    elif budget.get("trials"):
        searched = [one.contender for one in trials if one.kind == "trial"]
        counts = {name: searched.count(name) for name in names}
        for name, count in counts.items():
            if count > budget["trials"]:
                yield f"{name} got {count} trials of the {budget['trials']} allowed"
        # under a time limit the clock is shared equally instead, and the counts differ by design
        if len(set(counts.values())) > 1 and contest.get("time_limit_seconds") is None:
            yield f"contenders got different numbers of trials ({_unequal(counts)})"


def limited(contest: Mapping[str, Any]) -> bool:
    """Whether device time or a clock can end the finals, for all contenders alike."""
    return bool(contest["budget"].get("device_seconds") or contest.get("time_limit_seconds"))


def places(trials: list[TrialResult]) -> Iterator[str]:
    """All trainings ran on the same kind of device, in the same precision, with the same packages."""
    for key, words in _PLACES.items():
        values = sorted({str(one.environment[key]) for one in trials if one.environment.get(key)})
        if len(values) > 1:
            yield f"trainings ran on different {words} ({', '.join(values)})"


def _horizons(contest: Mapping[str, Any], trials: list[TrialResult]) -> Iterator[str]:
    horizon = contest.get("horizon_samples")
    odd = [one.id for one in trials if horizon is not None and one.horizon_samples != horizon]
    if odd:
        yield f"{_some(odd)} were trained towards another horizon than {horizon} samples"


def _adaptive(folder: RunFolder, trials: list[TrialResult]) -> Iterator[str]:
    """Nothing was trained after somebody had seen the test."""
    openings = [line["at"] for line in folder.test_accesses() if "at" in line]
    late = [one.id for one in trials if openings and one.started_at > min(openings)]
    if late:
        yield f"adaptive: {_some(late)} began after the test had been opened"


def _unequal(counts: Mapping[str, int]) -> str:
    """'b: 3, the others 5', so that those who got less are named."""
    most = max(counts.values())
    fewer = [f"{name}: {count}" for name, count in counts.items() if count < most]
    told = ", ".join(fewer[:3]) + (f" and {len(fewer) - 3} more" if len(fewer) > 3 else "")
    return f"{told}; the most: {most}"


def _some(names: list[str]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more trainings"
