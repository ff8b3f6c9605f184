"""What every tracker says of a training: its name, its recipe and provenance, how it ended. No data rows."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from automl.tracking.base import RunInfo
from automl.types import Contender, TrialResult, TrialSpec, slug

STEP = "samples_seen"
"""What stands on the x axis of every curve."""
RESOURCES = "system/"
"""What the names of all that was seen of workers begin with: of the machine, no measurement of the model."""
WITHOUT_ROWS = '<meta name="automl-data-rows" content="none">'
"""What a report says of itself when it quotes no row of the data and may leave the machine."""
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]*): ")
_LONGEST_ID = 128


def readable_name(spec: TrialSpec) -> str:
    """Such as 'all-minilm-l6-v2/full/012', '.../final-seed-7', '.../default-seed-7', 'baseline/constant'."""
    if spec.kind == "baseline":
        return f"baseline/{spec.contender.name}"
    if spec.kind == "trial":
        return f"{spec.contender.name}/{spec.number:03d}"
    if spec.kind == "playoff":
        return f"{spec.contender.name}/{spec.number:03d}-fold-{spec.fold}"
    return f"{spec.contender.name}/{spec.kind}-seed-{spec.seed}"


def job_type(spec: TrialSpec) -> str:
    """'trial', 'playoff', 'final' (the untuned recipe's too) or 'baseline'."""
    return spec.kind if spec.kind in ("trial", "playoff", "baseline") else "final"


def benchmark_config(info: RunInfo) -> dict[str, Any]:
    return {
        "task": info.task,
        "metric": info.metric,
        "higher_is_better": info.higher_is_better,
        "contenders": [contender_facts(contender) for contender in info.contenders],
        "budget": info.budget.to_json(),
        "seeds": list(info.seeds),
        "rows": dict(info.counts),
        "split_fingerprint": info.split_fingerprint,
        "data": dict(info.data),
        "request": dict(info.request),
        "environment": dict(info.environment),
    }


def training_config(spec: TrialSpec, info: RunInfo) -> dict[str, Any]:
    """The recipe at the top, where it is searched and compared; provenance below it."""
    return {
        **spec.recipe,
        "seed": spec.seed,
        "trial": spec.id,
        "kind": spec.kind,
        "contender": contender_facts(spec.contender),
        "protocol": {
            "metric": spec.metric,
            "horizon_samples": spec.horizon_samples,
            "rungs": list(spec.rungs),
            "split_fingerprint": spec.split_fingerprint,
            "fold": spec.fold,
        },
        "environment": dict(info.environment),
    }


def contender_facts(contender: Contender) -> dict[str, Any]:
    """Without the checkpoint's path, which says nothing elsewhere."""
    checkpoint = contender.checkpoint
    return {
        "name": contender.name,
        "family": contender.family,
        "adaptation": contender.adaptation,
        "checkpoint": checkpoint.name,
        "revision": checkpoint.revision,
        "architecture": checkpoint.architecture,
        "parameters": checkpoint.parameters,
    }


def summary(spec: TrialSpec, result: TrialResult, higher_is_better: bool) -> dict[str, float]:
    """Best and final values and the cost, finite numbers alone."""
    values = [row[spec.metric] for row in result.curve if finite(row.get(spec.metric))]
    best = (max if higher_is_better else min)(values) if values else result.validation
    told = {
        "validation": result.validation,
        "best_validation": best,
        "latency_ms_p50": result.latency_ms_p50,
        "parameters": result.parameters,
        **result.cost.to_json(),
        **{f"final/{name}": value for name, value in result.metrics.items()},
    }
    return numbers(told)


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row."""
    return {key: value for key, value in row.items() if finite(value)}


def finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def ending(result: TrialResult, whole: bool = False) -> str:
    """How a training ended, in a sentence.

    whole: whether an exception's message is told too. It may quote the data row that it failed on, which
    leaves the machine only where that is allowed; without it, the exception's name stands alone.
    """
    seen, horizon = result.cost.samples_seen, result.horizon_samples
    if result.status == "completed":
        return f"completed after {seen} samples"
    if result.status == "pruned":
        return f"pruned at {seen} of {horizon} samples: behind the other trials of its contender at that rung"
    what = "ran out of memory" if result.status == "out_of_memory" else "failed"
    lines = (result.error or "no reason given").strip().splitlines()
    told = lines[-1][:300]
    if not whole and (name := _EXCEPTION.match(told)):
        told = f"{name[1]} (its message stays in trials.jsonl)"
    return f"{what} at {seen} of {horizon} samples: {told}"


def may_leave(report: Path, share_examples: bool) -> bool:
    """Whether a report may leave the machine: it quotes no row, or its rows may be shared."""
    return share_examples or WITHOUT_ROWS in report.read_text(encoding="utf-8")


def run_id(token: str, trial: str) -> str:
    """An id that is the same whenever the run is resumed, and no other benchmark's; '' is the benchmark's."""
    whole = f"{token}-{slug(trial)}" if trial else token
    if len(whole) <= _LONGEST_ID:
        return whole
    return f"{whole[: _LONGEST_ID - 13]}-{sha256(whole.encode()).hexdigest()[:12]}"


def benchmark_token(directory: Path, name: str, fingerprint: str = "") -> str:
    """What all ids of this benchmark begin with; kept in a file, so that a resumed run finds its own.

    fingerprint: see RunInfo. With it the ids are the same also where the file was lost.
    """
    file = directory / "benchmark-id"
    if file.exists() and (token := file.read_text(encoding="utf-8").strip()):
        return token
    directory.mkdir(parents=True, exist_ok=True)
    token = f"{slug(name)[:40]}-{fingerprint or secrets.token_hex(4)}"
    file.write_text(token + "\n", encoding="utf-8")
    return token
