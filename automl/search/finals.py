"""From the search to the finals: whose recipe won, and which trainings decide about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from automl.metrics import Metric
from automl.types import TrialResult, TrialSpec


@dataclass(frozen=True, kw_only=True)
class Winner:
    """A contender's best recipe. `trial` is None where no trial reached the horizon."""

    trial: str | None
    recipe: dict[str, Any]
    search_validation: float | None
    default_recipe: dict[str, Any]
    reason: str

    @property
    def is_default(self) -> bool:
        return self.recipe == self.default_recipe

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "is_default": self.is_default}


def choose_winner(
    trials: Sequence[TrialResult], default_recipe: dict[str, Any], metric: Metric, search_was_cut: bool
) -> Winner | None:
    """The best on validation among trials that reached the full horizon; of equals the earliest.

    None when every trial failed. search_was_cut: the time limit ended trials before the horizon; then the
    untuned default stands in, because a value from a lower rung decides nothing.
    """
    whole = [t for t in trials if t.status == "completed" and t.validation is not None]
    if whole:
        best = min(whole, key=lambda t: (_loss(t, metric), t.number))
        return Winner(
            trial=best.id,
            recipe=best.recipe,
            search_validation=best.validation,
            default_recipe=default_recipe,
            reason=f"best of {len(whole)} trials that reached the full horizon",
        )
    if not search_was_cut and any(t.status in ("failed", "out_of_memory") for t in trials):
        return None
    return Winner(
        trial=None,
        recipe=default_recipe,
        search_validation=None,
        default_recipe=default_recipe,
        reason="no trial reached the full horizon in time; the untuned default stands in",
    )


def _loss(trial: TrialResult, metric: Metric) -> float:
    assert trial.validation is not None
    return -trial.validation if metric.higher_is_better else trial.validation


def final_specs(winner: Winner, seeds: Sequence[int], like: TrialSpec) -> list[TrialSpec]:
    """The winner's trainings on every fresh seed and, where it differs, the default's on the same seeds.

    like: any spec of this contender; seed by seed, so that a cut leaves both with equally many.
    """
    specs = []
    for seed in seeds:
        kinds = [("final", winner.recipe)] if winner.is_default else [
            ("final", winner.recipe), ("default", winner.default_recipe)
        ]  # fmt: skip
        for kind, recipe in kinds:
            values = like.to_json() | {
                "id": f"{like.contender.slug}-{kind}-{seed}",
                "kind": kind,
                "recipe": recipe,
                "seed": seed,
                "rungs": (like.horizon_samples,),
                "number": seed,
            }
            specs.append(TrialSpec.from_json(values))
    return specs
