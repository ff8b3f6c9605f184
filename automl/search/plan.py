"""What a run is going to do and to cost, told before anything is spent."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.config import RunRequest
from automl.leaderboard.fold_notes import fold_advice, fold_plan
from automl.leaderboard.folds import folds_of
from automl.leaderboard.planned import read_plan, write_plan
from automl.leaderboard.planning import detectable_difference
from automl.leaderboard.quantities import about, about_range, data_size
from automl.leaderboard.store import RunFolder
from automl.search.estimate import Estimate, Range, RunEstimate, estimate_run
from automl.search.probe import probe_contenders
from automl.search.slots import Slots
from automl.search.space import SearchSpace
from automl.training.probed import Probe
from automl.types import PreparedData, TrialSpec


def make_plan(
    folder: RunFolder, contest: Mapping[str, Any], templates: Sequence[TrialSpec], slots: Slots
) -> RunEstimate:
    """The estimate of a run, kept in its plan.json: nothing is probed twice, and what was foretold stays.

    templates: a spec of every contender. A run that was extended is estimated anew, with the probes that it has.
    Needs a Ray session where a contender has no probe yet.
    """
    stored = read_plan(folder)
    terms = {"budget": contest["budget"], "contenders": [one.contender.name for one in templates]}
    if stored.get("terms") == terms:
        return RunEstimate.from_json(stored["estimate"])
    probes = {name: Probe.from_json(values) for name, values in stored.get("probes", {}).items()}
    started = time.monotonic()
    found = probe_contenders(
        [_first_trial(one, contest) for one in templates if one.contender.name not in probes],
        slots,
        contest.get("time_limit_seconds"),
    )
    seconds = time.monotonic() - started
    # starting a process, and importing what a training needs, is what a probe took beside its steps
    start_seconds = max(0.0, seconds - max((one.wall_seconds for one in found.values()), default=0.0))
    start_seconds = stored.get("start_seconds", start_seconds)
    probes = {one.contender.name: (probes | found)[one.contender.name] for one in templates}
    free, data = shutil.disk_usage(folder.path).free, Path(templates[0].data_directory)
    held = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
    estimate = estimate_run(contest, probes, slots, start_seconds, held, free)
    write_plan(folder, {
        **stored,
        "terms": terms,
        "probes": {name: probe.to_json() for name, probe in probes.items()},
        "start_seconds": start_seconds,
        "probing_seconds": stored.get("probing_seconds", 0.0) + seconds,
        "estimate": estimate.to_json(),
    })  # fmt: skip
    return estimate


def _first_trial(template: TrialSpec, contest: Mapping[str, Any]) -> TrialSpec:
    """The spec of the untuned recipe, which every contender tries first."""
    space = SearchSpace.from_json(contest["spaces"][template.contender.name])
    return replace(template, id="probe", recipe=space.complete(space.first_trials[0]), fold=None)


def describe_plan(request: RunRequest, contest: dict[str, Any], prepared: PreparedData, estimate: RunEstimate) -> str:
    """Plain text: data, contenders, budget, horizon, finals; then what it will cost."""
    counts = prepared.counts
    budget = contest["budget"]
    share = (
        f"{budget['trials']} trials"
        if budget["trials"] is not None
        else f"{budget['device_seconds']:.0f} device-seconds ({budget['search_share']:.0%} search, the rest finals)"
    )
    lines = [
        *prepared.assumptions,
        *(f"{line}" for line in prepared.cleaned),
        f"task: {contest['task']}",
        f"metric: {contest['metric']} ({contest['reasons']['metric']})",
        f"rows: {counts['train']:,} train, {counts['validation']:,} validation, {counts['test']:,} test (sealed)",
        f"models: {contest['reasons']['models']}",
        f"each contender gets {share}; every trial sees {contest['horizon_samples']:,} samples "
        f"({contest['max_epochs']} epochs) unless it is stopped at {contest['rungs'][0]:,}"
        + (f" or has not improved for {patience:,}" if (patience := contest.get("patience_samples")) else ""),
        *shards_told(request),
        *fold_plan(contest),
        f"sampler: {contest['sampler']} ({contest['reasons']['sampler']})",
        f"finals: each winner and its untuned default on seeds {', '.join(map(str, contest['seeds']))}",
        "contenders:",
    ]
    for contender in contest["contenders"]:
        checkpoint = contender["checkpoint"]
        space = SearchSpace.from_json(contest["spaces"][contender["name"]])
        searched = ", ".join(parameter.name for parameter in space.parameters)
        lines.append(
            f"  {contender['name']}: {checkpoint['parameters'] / 1e6:.1f}M parameters, {checkpoint['kind']} "
            f"{checkpoint['name']}; searched: {searched}"
        )
    lines.append(f"yardsticks: {', '.join(contest['baselines'])}")
    subjects = [f"{subject:<11}{text}" for subject, text in _subjects(contest, estimate)]
    return "\n".join([*lines, "", *_cost_table(estimate, folds_of(contest) is not None), *subjects])


def shards_told(request: RunRequest) -> Iterator[str]:
    """The line that says over how many workers each model is spread, where it is."""
    if request.shard:
        yield (
            f"workers: {request.workers} in each training, over which its model is sharded: each keeps a "
            f"{1 / request.workers:.0%} share of parameters, gradients and moments"
        )


def _head(folded: bool) -> tuple[str, ...]:
    if folded:
        return ("", "one trial", "trials", "play-off", "trials and play-off", "finals", "all finals", "memory")
    return ("", "one trial", "trials", "all trials", "finals", "all finals", "memory")


def _cost_table(estimate: RunEstimate, folded: bool) -> list[str]:
    """What every contender takes, if one training followed the other: aligned lines under a head.

    folded: whether the leaders of each search play off, on several folds.
    """
    known = [one for one in estimate.contenders if one.error is None]
    if not known:
        return []
    rows = [_head(folded), *(_cells(one, folded) for one in known)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    cells = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return [
        "what it takes, one training after another, judged by a few steps of each contender's untuned recipe "
        "(others take more or less):",
        *("  " + "  ".join(line) for line in cells),
        "",
    ]


def _cells(one: Estimate, folded: bool) -> tuple[str, ...]:
    return (
        one.contender,
        about(one.trial_seconds),
        counted(one.trials),
        *([counted(one.playoffs)] if folded else []),
        about_range(*one.search_seconds),
        counted(one.finals),
        about_range(*one.finals_seconds),
        data_size(one.peak_memory_bytes),
    )


def plan_sentences(contest: Mapping[str, Any], estimate: RunEstimate) -> list[str]:
    """The costs in a line a contender and a line a subject, for a log."""
    told = [
        f"plan: {one.contender}: {about(one.trial_seconds)} a trial; {counted(one.trials)} trials{_played(one)} in "
        f"{about_range(*one.search_seconds)}, {counted(one.finals)} finals in {about_range(*one.finals_seconds)}, "
        "one after another"
        for one in estimate.contenders
        if one.error is None
    ]
    return [*told, *(f"plan: {subject}: {text}" for subject, text in _subjects(contest, estimate))]


def _played(one: Estimate) -> str:
    return f" and {counted(one.playoffs)} trainings of the play-off" if one.playoffs[1] else ""


def _subjects(contest: Mapping[str, Any], estimate: RunEstimate) -> Iterator[tuple[str, str]]:
    """The whole run, (subject, what is foretold): time, memory, disk, what it can show, what could not be tried."""
    known = [one for one in estimate.contenders if one.error is None]
    if known:
        yield "time", _time(contest, estimate)
        held, there_is = estimate.memory_bytes, min(one.machine_bytes for one in known)
        of = f" of {data_size(there_is)}" + ("; take fewer --slots" if held > there_is else "") if there_is else ""
        yield "memory", f"up to {data_size(held)}{of}"
        yield "disk", f"up to {data_size(estimate.disk_bytes)} meanwhile, {data_size(estimate.kept_bytes)} in the end"
    counts, seeds = contest["counts"], len(contest["seeds"])
    each = f"{counts['test']:,} test rows, {seeds} seed{'s' if seeds != 1 else ''}"
    yield (
        "shows",
        f"differences of {_points(estimate.detectable_test)} of accuracy or more between two models ({each})",
    )
    fewer = f"between two single trials ({counts['validation']:,} validation rows)"
    told = f"differences of {_points(estimate.detectable_validation)} or more {fewer}"
    if (advice := fold_advice(contest)) is not None:
        told += f"; {advice}"
    if (folds := folds_of(contest)) is not None and contest["budget"]["trials"] != 1:
        judged = sum(contest["folds"]["validation"][:folds])
        told += f"; of {_points(detectable_difference(judged, None))} in the play-off ({judged:,} rows on all folds)"
    yield "in search", told
    yield "assumed", f"of two models one is right and the other wrong on {estimate.disagreement:.0%} of the rows"
    for one in estimate.contenders:
        if one.error is not None:
            yield "not known", f"{one.contender} could not be tried and is not counted: {one.error}"


def _time(contest: Mapping[str, Any], estimate: RunEstimate) -> str:
    at_once = "one training at a time" if estimate.slots == 1 else f"{estimate.slots} trainings at a time"
    told = f"{about_range(*estimate.wall_seconds)}, {at_once}"
    if (limit := contest.get("time_limit_seconds")) is not None:
        told += f", within {about(limit)}"
    return f"{told} (least: every trial stopped early that can be; most: none)"


def _points(share: float) -> str:
    return f"{share * 100:.1f} points"


def counted(ends: Range) -> str:
    """'12', or '4 to 9'."""
    low, high = (round(end) for end in ends)
    return str(high) if low == high else f"{low} to {high}"
