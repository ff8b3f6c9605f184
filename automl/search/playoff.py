"""The trainings of a play-off: the recipes that lead the search, on every fold but that of the search."""

from __future__ import annotations

from collections.abc import Sequence

from automl.types import TrialResult, TrialSpec

SHARE = 0.5
"""Of what a limit leaves for the search, so much is kept for the play-off, once two recipes could play it."""


def playoff_specs(
    leading: Sequence[TrialResult], ended: Sequence[TrialResult], like: TrialSpec, folds: int
) -> list[TrialSpec]:
    """What the play-off of a contender still has to train, fold by fold, so that a limit leaves all as many folds.

    leading: its candidates. ended: its play-offs so far; a recipe that failed in one is out. One recipe has nobody
    to play against: the last that is in has only to get through the fold on which the others went out.
    """
    done = {(one.number, one.fold) for one in ended}
    out = {one.number for one in ended if one.status != "completed"}
    rivals = [trial for trial in leading if trial.number not in out]
    last = folds if len(rivals) > 1 else max((one.fold or 0 for one in ended if one.number in out), default=0)
    return [
        TrialSpec.from_json(
            like.to_json()
            | {
                "id": f"{like.contender.slug}-playoff-{trial.number:03d}-{fold}",
                "kind": "playoff",
                "recipe": trial.recipe,
                "number": trial.number,
                "rungs": (like.horizon_samples,),
                "fold": fold,
            }
        )
        for fold in range(2, last + 1)
        for trial in rivals
        if (trial.number, fold) not in done
    ]
