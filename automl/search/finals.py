"""From the search to the finals: whose recipe won, and which trainings decide about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from automl.leaderboard.folds import Standing, standings
from automl.metrics import Metric
from automl.types import TrialKind, TrialResult, TrialSpec

KINDS: tuple[TrialKind, TrialKind] = ("final", "default")
Round = tuple[int, TrialKind]
"""One seed and one kind: a round of finals is trained by every contender or by none."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """A contender's best recipe. `trial` is None where no trial reached the horizon.

    playoff: how the leading recipes did on the folds, the winner first; empty without folds.
    """

    trial: str | None
    recipe: dict[str, Any]
    search_validation: float | None
    default_recipe: dict[str, Any]
    reason: str
    playoff: tuple[Standing, ...] = ()

    @property
    def is_default(self) -> bool:
        return self.recipe == self.default_recipe

    def to_json(self) -> dict[str, Any]:
        told = {**vars(self), "is_default": self.is_default, "playoff": [one.to_json() for one in self.playoff]}
        return told if self.playoff else {key: value for key, value in told.items() if key != "playoff"}


def choose_winner(
    trials: Sequence[TrialResult], default_recipe: dict[str, Any], metric: Metric, cut_by: str | None = None
) -> Winner | None:
    """The best on validation among trials that reached the horizon or their patience's end; of equals the earliest.

    Where none did, the untuned default stands in, because a value from before the horizon decides nothing; None
    where the default itself had failed. cut_by: what ended the search early, such as "time".
    trials: play-offs among them, after which the mean over the folds decides.
    """
    playoffs, trials = [t for t in trials if t.kind == "playoff"], [t for t in trials if t.kind == "trial"]
    whole = [t for t in trials if t.status == "completed" and t.validation is not None]
    if whole:
        played = standings([*trials, *playoffs], metric.higher_is_better)
        best = played[0].trial
        reason = f"best of {len(whole)} trials that reached the full horizon" + _by_patience(whole)
        if playoffs:
            reason = f"{_by_folds(played)}, {len(played)} recipes having led {reason.removeprefix('best of ')}"
        return Winner(
            trial=best.id,
            recipe=best.recipe,
            search_validation=best.validation,
            default_recipe=default_recipe,
            reason=reason,
            playoff=tuple(played) if playoffs else (),
        )
    if any(t.status in ("failed", "out_of_memory") and t.recipe == default_recipe for t in trials):
        return None
    early = f" before {cut_by} was spent" if cut_by else ""
    return Winner(
        trial=None,
        recipe=default_recipe,
        search_validation=None,
        default_recipe=default_recipe,
        reason=f"no trial reached the full horizon{early}; the untuned default stands in",
    )


def _by_patience(whole: Sequence[TrialResult]) -> str:
    ended = sum(trial.cost.samples_seen < trial.horizon_samples for trial in whole)
    return f", or ended by their patience ({ended})" if ended else ""


def _by_folds(played: Sequence[Standing]) -> str:
    if played[0].mean is None:
        return "the leader of the search, for none of the play-off trained on every fold"
    return f"best mean over {played[0].folds} folds"


def rounds(seeds: Sequence[int]) -> list[Round]:
    """The order in which finals are trained: seed by seed, so that a cut leaves winner and default nearly as many."""
    return [(seed, kind) for seed in seeds for kind in KINDS]


def round_of(spec: TrialSpec) -> Round:
    return spec.seed, spec.kind


def final_specs(
    winner: Winner,
    seeds: Sequence[int],
    like: TrialSpec,
    ended: Iterable[TrialResult] = (),
    fold_of: Callable[[int], int | None] = lambda seed: None,
) -> list[TrialSpec]:
    """The winner's trainings on every fresh seed and, where it differs, the default's on the same seeds.

    like: any spec of this contender. ended: finals that were trained already; those of the same recipe are not
    trained again, and those of another recipe (a run was extended, and another trial won) keep their names.
    fold_of: the cut of the rows that goes with a seed.
    """
    done = list(ended)
    taken = {result.id for result in done}
    specs = []
    for seed, kind in rounds(seeds):
        recipe = winner.recipe if kind == "final" else winner.default_recipe
        if kind == "default" and winner.is_default:
            continue
        if any(r.kind == kind and r.seed == seed and r.recipe == recipe for r in done):
            continue
        values = like.to_json() | {
            "id": _unused(f"{like.contender.slug}-{kind}-{seed}", taken),
            "kind": kind,
            "recipe": recipe,
            "seed": seed,
            "rungs": (like.horizon_samples,),
            "number": seed,
            "fold": fold_of(seed),
        }
        specs.append(TrialSpec.from_json(values))
    return specs


def _unused(name: str, taken: Iterable[str]) -> str:
    """The name, or its first repetition (-2, -3, ...) that no training has."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
