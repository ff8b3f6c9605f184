"""The probe of every contender, on the slots where its trials will run, in processes of their own."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from automl.errors import one_line
from automl.search.slots import Slots
from automl.training.away import NotHere, brought_here
from automl.training.probe import probe_training
from automl.training.probed import Probe
from automl.training.process import keep_to_share, set_threads, warm_process
from automl.training.workers import cpus_of_this_process
from automl.types import TrialSpec

LONGEST_SECONDS = 120.0
"""A probe that takes longer is given up: the run finds out by itself."""
LIMIT_SHARE = 0.1
"""All probes together may take so much of a time limit."""
MOST_REPEATS = 8
"""Slots beyond so many are not filled only to be as busy as they will be."""


def probe_contenders(
    specs: Sequence[TrialSpec], slots: Slots, time_limit_seconds: float | None = None
) -> dict[str, Probe]:
    """What a training of each spec costs, by contender; a probe that broke says why.

    They run as many at a time as trainings will: alone on a machine a training is faster than beside others. Needs
    a Ray session.
    """
    if not specs:
        return {}
    on_slots = slots.count * slots.workers
    waves = math.ceil(len(specs) / on_slots)
    repeats = max(len(specs), min(waves * on_slots, MOST_REPEATS))
    options: dict[str, Any] = {"num_cpus": slots.cpus, "max_retries": 0}
    measure = ray.remote(_probe).options(**options | ({"num_gpus": slots.gpus} if slots.gpus else {}))
    running = {}
    for number in range(repeats):
        spec = _share_of(specs[number % len(specs)], slots.workers)
        running[measure.remote(spec.to_json(), slots.gpus)] = spec.contender.name
    patience = patience_seconds(waves, time_limit_seconds)
    ended, late = ray.wait(list(running), num_returns=len(running), timeout=patience)
    for one in late:
        ray.cancel(one, force=True)
    found: dict[str, Probe] = {}
    for one in ended:
        probe = _answer(one, running[one])
        found[probe.contender] = _slower(probe, found.get(probe.contender))
    for one in late:
        told = f"not even a few steps ended within {patience:.0f} s"
        found.setdefault(running[one], Probe(contender=running[one], error=told))
    return found


def patience_seconds(waves: int, time_limit_seconds: float | None) -> float:
    """Seconds until all probes are given up that have not ended."""
    most = LONGEST_SECONDS * waves
    return most if time_limit_seconds is None else min(most, LIMIT_SHARE * time_limit_seconds)


def _share_of(spec: TrialSpec, workers: int) -> TrialSpec:
    """The spec as one of several workers sees it: its part of each batch. What they exchange is not measured."""
    return replace(spec, recipe={**spec.recipe, "batch_size": math.ceil(spec.recipe["batch_size"] / workers)})


def _slower(one: Probe, other: Probe | None) -> Probe:
    """Of two probes of a contender the one that met more load, or that broke."""
    if other is None or one.error is not None:
        return one
    return one if other.error is None and one.seconds_per_sample > other.seconds_per_sample else other


def _answer(reference: Any, contender: str) -> Probe:
    try:
        return Probe.from_json(ray.get(reference))
    except RayError as problem:  # its process died: killed for memory, most likely
        return Probe(contender=contender, error=one_line(problem))


def _probe(spec_json: dict[str, Any], gpus: float) -> dict[str, Any]:
    spec = TrialSpec.from_json(spec_json)
    try:
        spec = brought_here(spec)
    except NotHere as problem:
        return Probe(contender=spec.contender.name, error=str(problem)).to_json()
    warm_process(spec.contender.adaptation)
    keep_to_share(gpus)
    set_threads(cpus_of_this_process())
    with tempfile.TemporaryDirectory(prefix="automl-probe-") as scratch:
        return probe_training(spec, Path(scratch)).to_json()
