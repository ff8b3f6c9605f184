"""Which cut of the rows each training of a contest uses, and which recipe wins on several (data/folds.py cuts them).

The search runs on the first fold. Then comes a play-off: the recipes that lead there are trained on every other fold,
and the best mean wins. Why so: benchmarks/README.md ("Which recipe several folds choose").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl.types import TrialResult

CANDIDATES = 3
"""So many recipes lead the search into the play-off."""


def folds_of(contest: Mapping[str, Any]) -> int | None:
    """How many folds the contest has; None where its rows are cut once."""
    folds: Mapping[str, Any] | None = contest.get("folds")
    return None if folds is None else int(folds["count"])


def search_fold(contest: Mapping[str, Any]) -> int | None:
    """The cut that judges all trials of the search: trials on different rows could not be compared."""
    return None if folds_of(contest) is None else 1


def final_fold(contest: Mapping[str, Any], seed: int) -> int | None:
    """The cut of a final: one of its own for every seed, the same for every contender and for winner and default."""
    return None if folds_of(contest) is None else list(contest["seeds"]).index(seed) + 1


def folds_played(winner: Mapping[str, Any]) -> int:
    """On how many folds a winner was chosen: that of the search at least."""
    played = winner.get("playoff") or ()
    return max(1, played[0]["folds"]) if played else 1


def validation_rows(contest: Mapping[str, Any], fold: int | None) -> int:
    """How many rows judge a training."""
    rows: int = contest["counts"]["validation"] if fold is None else contest["folds"]["validation"][fold - 1]
    return rows


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A recipe in the play-off. values: by fold, that of the search among them. mean: over the `folds` that count.

    mean is None where a training of it failed: a recipe that does not always train is none to choose.
    """

    trial: TrialResult
    values: Mapping[int, float]
    mean: float | None
    folds: int

    def to_json(self) -> dict[str, Any]:
        values = {str(fold): value for fold, value in self.values.items()}
        return {"trial": self.trial.id, "values": values, "mean": self.mean, "folds": self.folds}


def when_chosen_and_again(winner: Mapping[str, Any], finals: Sequence[TrialResult]) -> tuple[float, float] | None:
    """What the winner's recipe had on validation when it was chosen, and in its finals; None where nothing compares.

    With folds both are means over the cuts that judged both: other rows are easier or harder, and the difference
    would tell of them.
    """
    again = [(one.fold, one.validation) for one in finals if one.validation is not None]
    chosen, played = winner.get("search_validation"), winner.get("playoff") or ()
    if chosen is None or not again:
        return None
    if all(fold is None for fold, _ in again):
        return chosen, sum(value for _, value in again) / len(again)
    values = played[0]["values"] if played else {"1": chosen}
    pairs = [(values[str(fold)], value) for fold, value in again if str(fold) in values]
    if not pairs:
        return None
    return sum(then for then, _ in pairs) / len(pairs), sum(value for _, value in pairs) / len(pairs)


def candidates(trials: Sequence[TrialResult], higher_is_better: bool) -> list[TrialResult]:
    """The trials whose recipes go into the play-off, the best first; of equals the earliest, and no recipe twice."""
    sign = -1.0 if higher_is_better else 1.0
    whole = [
        one for one in trials if one.kind == "trial" and one.status == "completed" and one.validation is not None
    ]
    found: list[TrialResult] = []
    for one in sorted(whole, key=lambda one: (sign * (one.validation or 0.0), one.number)):
        if all(one.recipe != other.recipe for other in found):
            found.append(one)
        if len(found) == CANDIDATES:
            break
    return found


def standings(trainings: Sequence[TrialResult], higher_is_better: bool) -> list[Standing]:
    """The candidates by their means, the best first, out of the trials and play-offs of one contender.

    The folds that count are those on which every candidate has a value: a limit may have cut the others.
    """
    ended = [one for one in trainings if one.kind == "playoff"]
    found = []
    for trial in candidates(trainings, higher_is_better):
        own = [one for one in ended if one.number == trial.number and one.recipe == trial.recipe]
        values = {trial.fold or 1: trial.validation or 0.0}
        values |= {one.fold: one.validation for one in own if one.status == "completed" and one.validation is not None
                   and one.fold is not None}  # fmt: skip
        found.append((trial, values, any(one.status != "completed" for one in own)))
    sound = [values for _, values, failed in found if not failed]
    common = set.intersection(*map(set, sound)) if sound else set()
    made = [
        Standing(
            trial=trial,
            values=dict(sorted(values.items())),
            mean=None if failed else sum(values[fold] for fold in sorted(common)) / len(common),
            folds=len(common),
        )
        for trial, values, failed in found
    ]
    sign = -1.0 if higher_is_better else 1.0
    # sorting keeps the order of equals, and where every recipe failed that of the search
    return sorted(made, key=lambda one: (one.mean is None, sign * (one.mean or 0.0)))
