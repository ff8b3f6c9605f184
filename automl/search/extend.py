"""More budget, or further contenders, for a run that has its terms already.

Whatever was fixed before the search stays: data, split, metric, horizon, rungs, seeds, sampler, spaces. A further
contender gets what the others have got. The winners are open again, and those of before stay on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from automl.config import RunRequest
from automl.data.prepared import read_part
from automl.errors import RequestError
from automl.leaderboard.store import RunFolder, now
from automl.models.last_look import look_at_checkpoints
from automl.registry import get_part
from automl.search.baselines import planned
from automl.search.contest import data_facts, find_contenders, find_spaces
from automl.search.last_look import judged
from automl.tasks.base import Task
from automl.types import Budget, Contender, PreparedData


def extend_contest(
    folder: RunFolder,
    request: RunRequest,
    prepared: PreparedData,
    trials: int | None = None,
    device_seconds: float | None = None,
    models: Sequence[str] = (),
) -> dict[str, Any]:
    """The contest with more of its budget for every contender, or with further models; written to the run folder.

    Raises RequestError where nothing is added, where the unit is not that of the budget, where a wall clock limits
    the run, or where a model stands in it already.
    """
    contest = folder.read_contest()
    budget = Budget.from_json(contest["budget"])
    _check(folder, contest, budget, trials, device_seconds, models)
    task = get_part("automl.tasks", Task, contest["task"])  # type: ignore[type-abstract]
    added = _further_contenders(folder, request, task, models)
    warnings = _warnings(added, prepared)
    spaces = find_spaces(request, added, data_facts(prepared, task, request.augment))
    more = Budget(
        trials=None if budget.trials is None else budget.trials + (trials or 0),
        device_seconds=None if budget.device_seconds is None else budget.device_seconds + (device_seconds or 0),
        search_share=budget.search_share,
    )
    contenders = [*folder.contenders(), *added]
    extended = contest | {
        "budget": more.to_json(),
        "contenders": [contender.to_json() for contender in contenders],
        "spaces": contest["spaces"] | {name: space.to_json() for name, space in spaces.items()},
        "warnings": [*contest.get("warnings", ()), *warnings],
        "baselines": list(dict.fromkeys([*contest["baselines"], *(row for row, _, _ in planned(task, contenders))])),
        "extensions": [
            *contest.get("extensions", ()),
            {
                "at": now(),
                "trials": trials,
                "device_seconds": device_seconds,
                "contenders": [contender.name for contender in added],
                "test_had_been_opened": bool(folder.test_accesses()),
            },
        ],
    }
    folder.reopen_winners()  # first: a crash in between leaves a run that fixes the same winners again
    folder.write_contest(extended)
    return extended


def _warnings(added: Sequence[Contender], prepared: PreparedData) -> list[str]:
    """What is to be warned of in further checkpoints. Raises RequestError where one cannot be used."""
    if not added:
        return []
    return judged(look_at_checkpoints(added, read_part(prepared.directory, "train"), prepared.schema))


def _check(
    folder: RunFolder,
    contest: dict[str, Any],
    budget: Budget,
    trials: int | None,
    device_seconds: float | None,
    models: Sequence[str],
) -> None:
    if trials is None and device_seconds is None and not models:
        raise RequestError(
            "nothing to add", "--trials +8, --budget +10m or --models A,B", f"Say what {folder.path} is to get"
        )
    if contest.get("time_limit_seconds") is not None:
        raise RequestError(
            f"{folder.path} was run under a time limit, which all contenders have shared",
            "a run whose contenders have a budget of their own",
            "Start a new run with a longer --time-limit",
        )
    for given, has, option, unit in (
        (trials, budget.trials, "--trials", "device time: add some with --budget"),
        (device_seconds, budget.device_seconds, "--budget", "trials: add some with --trials"),
    ):
        if given is not None and has is None:
            raise RequestError(f"{option} does not fit {folder.path}", f"its budget is in {unit}", "Use that option")


def _further_contenders(folder: RunFolder, request: RunRequest, task: Task, models: Sequence[str]) -> list[Contender]:
    if not models:
        return []
    found, _ = find_contenders(request.model_copy(update={"models": tuple(models)}), task)
    present = {contender.name for contender in folder.contenders()}
    twice = [contender.name for contender in found if contender.name in present]
    if twice:
        raise RequestError(
            f"{', '.join(twice)} stands in {folder.path} already",
            "models that the run does not have",
            "Give it more with --trials or --budget; or put another model of that name into a folder of another name",
        )
    return found
