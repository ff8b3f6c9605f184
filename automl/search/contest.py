"""The terms of a contest, fixed before the search and the same for every contender; contest.json holds them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.config import RunRequest
from automl.errors import AutoMLError, CheckpointError, RequestError
from automl.leaderboard.folds import search_fold
from automl.leaderboard.kept import KeptRun
from automl.leaderboard.planned import note_disk
from automl.leaderboard.store import RunFolder
from automl.metrics import get_metric
from automl.models.base import ModelFamily
from automl.models.checkpoints import default_models, find_checkpoint, short_name
from automl.registry import get_part, parts
from automl.search.agenda import Agenda
from automl.search.away import brought_away, weights_found
from automl.search.baselines import BaselineRunner
from automl.search.cluster import living_nodes, refuse_blind_nodes, startable_nodes
from automl.search.joining import named_cluster
from automl.search.ledger import Ledger
from automl.search.plan import describe_plan, make_plan, plan_sentences
from automl.search.reasons import imbalance_reason, variation_reason
from automl.search.rungs import milestones
from automl.search.session import ray_session
from automl.search.slots import Slots, plan_slots
from automl.search.space import SearchSpace, load_space
from automl.search.study import choose_sampler
from automl.search.sweep import Sweep
from automl.tasks.base import Task
from automl.tasks.variations import allowed
from automl.tracking.base import Tracker
from automl.types import Budget, Contender, PreparedData, TrialSpec

SMALL_ROWS = 5_000
"""Under so many training rows a trial sees them SMALL_EPOCHS times, else LARGE_EPOCHS times (methods §1)."""
SMALL_EPOCHS, LARGE_EPOCHS = 10, 3


def find_contenders(request: RunRequest, task: Task) -> tuple[list[Contender], str]:
    """Every model with every adaptation, and why these models. Collects all that is wrong and raises it once."""
    names, reason = request.models, "named by the user"
    if not names:
        names, reason = default_models(task.name)
    families = parts("automl.models", ModelFamily)  # type: ignore[type-abstract]
    checkpoints, problems = [], []
    for name in names:
        try:
            checkpoints.append(find_checkpoint(name, allow_pickle=request.allow_pickle))
        except AutoMLError as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise RequestError(
            f"{len(problems)} models cannot be used", "", "", problems=[str(problem) for problem in problems]
        )
    contenders: list[Contender] = []
    taken: list[str] = []
    for checkpoint in checkpoints:
        short = short_name(checkpoint, taken)
        taken.append(short)
        family = next((f for f in families.values() if task.head in f.heads and f.claims(checkpoint)), None)
        if family is None:
            raise CheckpointError(
                f"{checkpoint.name} is a {checkpoint.model_type!r} model ({checkpoint.architecture})",
                f"a model that takes the head {task.head!r}: {_known_types(families)}",
                "Name another with --models",
            )
        for adaptation in request.adapt:
            if (reason_against := family.cannot(checkpoint, adaptation)) is not None:
                able = (a for a in sorted(family.adaptations) if family.cannot(checkpoint, a) is None)
                raise RequestError(
                    f"--adapt {adaptation} is not known for {checkpoint.name}: {reason_against}",
                    f"one of {', '.join(able)}",
                    "Choose with --adapt, or name another model with --models",
                )
            contenders.append(
                Contender(
                    name=f"{short}/{adaptation}",
                    checkpoint=checkpoint,
                    family=family.name,
                    adaptation=adaptation,
                )
            )
    return contenders, reason


def _known_types(families: dict[str, ModelFamily]) -> str:
    return ", ".join(families)


def data_facts(prepared: PreparedData, task: Task, augment: Sequence[str] = ()) -> dict[str, float]:
    """What a search space may ask of the data (DATA_FACTS). augment: as the request names variations."""
    counts = prepared.class_counts.values()
    varied = allowed(augment, prepared.schema.classes, task.variations)
    return {
        "training_rows": float(prepared.counts["train"]),
        **{f"augment_{name}": 1.0 for name in sorted(varied)},
        **({"class_ratio": max(counts) / min(counts)} if counts else {}),
    }


def find_spaces(
    request: RunRequest, contenders: Sequence[Contender], facts: Mapping[str, float]
) -> dict[str, SearchSpace]:
    """Every contender's search space, fitted to the data and layered for the budget."""
    directory = Path(request.search_spaces) if request.search_spaces else None
    if directory is not None and not directory.is_dir():
        raise RequestError(f"--search-spaces {directory} is no folder", "a folder of YAML files", "Check the path")
    spaces = {}
    for contender in contenders:
        family = get_part("automl.models", ModelFamily, contender.family)  # type: ignore[type-abstract]
        space = load_space(family.space_name(contender.checkpoint), contender.adaptation, directory)
        spaces[contender.name] = space.for_data(facts).for_trials(request.contender_budget.trials)
    return spaces


def horizon(request: RunRequest, training_rows: int) -> tuple[int, int]:
    """(epochs, samples) of every trial."""
    epochs = request.max_epochs or (SMALL_EPOCHS if training_rows < SMALL_ROWS else LARGE_EPOCHS)
    return epochs, epochs * training_rows


def trial_seed(seed: int) -> int:
    """The seed that every trial of the search shares: it is never searched."""
    return seed * 1000 + 1


def final_seeds(seed: int, count: int) -> list[int]:
    """Fresh seeds, shared by all contenders."""
    return [seed * 1000 + 101 + index for index in range(count)]


def draw_up(
    request: RunRequest,
    prepared: PreparedData,
    task: Task,
    contenders: Sequence[Contender],
    spaces: dict[str, SearchSpace],
    models_reason: str,
) -> dict[str, Any]:
    """The contest as contest.json holds it."""
    if request.metric is not None:
        metric, metric_reason = get_metric(request.metric).name, "chosen by the user"
        if metric not in task.metrics:
            raise RequestError(
                f"metric {metric!r} does not fit {task.name}",
                f"one of {', '.join(task.metrics)}",
                "Choose with --metric",
            )
    else:
        metric, metric_reason = task.choose_metric(prepared.class_counts)
    epochs, samples = horizon(request, prepared.counts["train"])
    sampler, sampler_reason = choose_sampler(request.sampler, list(spaces.values()), request.contender_budget.trials)
    deviations = []
    if request.workers > 1:
        spread = ", which shared its model" if request.shard else ""
        deviations.append(f"every training ran on {request.workers} workers{spread}")
    return {
        "name": Path(request.out or request.run_name).name,
        "task": task.name,
        "pipeline": task.pipeline,
        "metric": metric,
        "metrics": list(task.metrics),
        "higher_is_better": get_metric(metric).higher_is_better,
        "schema": prepared.schema.to_json(),
        "contenders": [contender.to_json() for contender in contenders],
        "spaces": {name: space.to_json() for name, space in spaces.items()},
        "budget": request.contender_budget.to_json(),
        "seeds": final_seeds(request.seed, request.seeds),
        "trial_seed": trial_seed(request.seed),
        "sampler": sampler,
        "max_epochs": epochs,
        "horizon_samples": samples,
        "rungs": list(milestones(samples)),
        "patience_samples": None if request.patience is None else round(request.patience * samples),
        "reasons": {
            "task": " ".join(prepared.assumptions[-1:]),
            "metric": metric_reason,
            "models": models_reason,
            "sampler": sampler_reason,
            "imbalance": imbalance_reason(prepared.class_counts, spaces.values()),
            "variation": variation_reason(task, request.augment, prepared.class_counts, list(spaces.values())),
        },
        "assumptions": list(prepared.assumptions),
        "cleaned": list(prepared.cleaned),
        "counts": dict(prepared.counts),
        "class_counts": dict(prepared.class_counts),
        "split_fingerprint": prepared.split.fingerprint,
        "folds": _folds(request, prepared),
        "may_fold": request.time is None and "validation" not in prepared.given,
        "margin": request.margin,
        "time_limit_seconds": request.time_limit,
        "price_per_hour": request.price_per_hour,
        "slices": list(request.slice),
        "baselines": [],
        "compute": {
            "gradient_checkpointing": request.gradient_checkpointing,
            "compile": request.compile,
            "shard": request.shard,
            "checkpoint_seconds": request.checkpoint_every,
        },
        "deviations": deviations,
    }


def _folds(request: RunRequest, prepared: PreparedData) -> dict[str, Any] | None:
    """{"count", "train", "validation"}: how many folds a play-off has, and the rows of every cut."""
    if request.folds is None:
        return None
    rows = {part: [getattr(fold, part) for fold in prepared.folds] for part in ("train", "validation")}
    return {"count": request.folds, **rows}


def trial_templates(
    folder: RunFolder, contest: dict[str, Any], prepared: PreparedData, kept: KeptRun | None = None
) -> list[TrialSpec]:
    """One spec a contender, to which the agenda adds id, recipe and number.

    kept: where nodes fetch rows and weights, which are put there; None where they see this machine's files.
    """
    contenders = folder.contenders()
    away = {} if kept is None else brought_away(folder, contenders, prepared, kept)
    return [
        TrialSpec(
            id="",
            kind="trial",
            contender=contender,
            recipe={},
            seed=contest["trial_seed"],
            horizon_samples=contest["horizon_samples"],
            rungs=tuple(contest["rungs"]),
            split_fingerprint=contest["split_fingerprint"],
            data_directory=str(prepared.directory.resolve()),
            run_directory=str(folder.path.resolve()),
            task=contest["task"],
            metric=contest["metric"],
            schema=prepared.schema,
            patience_samples=contest.get("patience_samples"),
            fold=search_fold(contest),
            away=away.get(contender.name),
            **contest.get("compute", {}),
        )
        for contender in contenders
    ]


def slots_of(request: RunRequest) -> Slots:
    """The slots of a request on what Ray has, or may start. Raises RequestError where a trial cannot fit."""
    nodes = [node.total for node in startable_nodes() or living_nodes()]
    memory = (request.memory or 0.0) * 2**30
    return plan_slots(
        nodes, request.slots, request.workers, request.workers_mode, request.trials_per_gpu, request.cpus,
        request.gpus, memory, more_may_come=named_cluster(request.address) is not None,
    )  # fmt: skip


def plan_contest(request: RunRequest, contest: dict[str, Any], prepared: PreparedData, scratch: Path) -> str:
    """What a run would do and cost, in plain text; scratch: a folder that is the caller's to remove."""
    folder = RunFolder(scratch)
    folder.path.mkdir(exist_ok=True)
    folder.write_contest(contest)
    with ray_session(request.address):
        plan = make_plan(folder, contest, trial_templates(folder, contest, prepared), slots_of(request))
    return describe_plan(request, contest, prepared, plan)


def run_contest(
    folder: RunFolder,
    request: RunRequest,
    contest: dict[str, Any],
    prepared: PreparedData,
    tracker: Tracker,
    kept: KeptRun | None = None,
) -> None:
    """The plan, baselines, search and finals, from wherever the run folder stands. kept: its place in a storage."""
    if kept is not None:
        folder.weights_here = weights_found(folder, folder.contenders(), kept)
    ledger = Ledger(folder, Budget.from_json(contest["budget"]))
    started = time.monotonic()
    baselines = BaselineRunner(folder, contest, prepared, ledger, tracker)
    before = sum(folder.timings().values())

    def seconds_left() -> float | None:
        if request.time_limit is None:
            return None
        return request.time_limit - before - (time.monotonic() - started)

    folder.keep_spare()
    trials = folder.trials()
    for trial in trials:
        folder.drop_checkpoint(trial.id)  # a crash came between its record and this
    if kept is not None:
        kept.forget_ended()
    ledger.reconcile(trials)
    templates = trial_templates(folder, contest, prepared, kept)
    agenda = Agenda(folder, contest, templates, ledger, contest["sampler"], seconds_left, tracker.note)
    agenda.recall(folder.started(), trials)
    if agenda.finished:
        baselines.run()
        return
    finals_since: float | None = None
    try:
        with ray_session(request.address, tracker.note):
            if kept is None:
                refuse_blind_nodes(folder.path)
            slots = slots_of(request)
            tracker.phase("probes")
            plan = make_plan(folder, contest, templates, slots)
            for line in plan_sentences(contest, plan):
                tracker.note(line)
            tracker.planned(plan.to_json())
            agenda.expect({one.contender: one.trial_seconds for one in plan.contenders}, slots.workers)
            tracker.phase("baselines")
            baselines.run()
            tracker.phase("search" if agenda.searching else "finals")
            sweep = Sweep(agenda, folder, tracker, slots, kept=kept)
            try:
                sweep.run()
            finally:
                finals_since = sweep.finals_since
        note_disk(folder)  # before all models but the shipped ones go
    finally:
        ended = time.monotonic()
        folder.append_timing("search", (finals_since or ended) - started)
        if finals_since is not None:
            folder.append_timing("finals", ended - finals_since)
