"""The values that cross rooms. Frozen, keyword-only, plain enough for JSON; units stand in the names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

Severity = Literal["note", "warn", "repair", "refuse"]
Part = Literal["train", "validation", "test", "pool"]
"""pool: the rows of train, then those of validation, which folds cut in several ways."""
TrialKind = Literal["trial", "playoff", "default", "final", "baseline"]
"""playoff: a leading recipe of the search on a further fold (leaderboard/folds.py)."""
TrialStatus = Literal["completed", "pruned", "failed", "out_of_memory"]
SpendKind = Literal["train", "validate", "cache", "retry", "final"]
Parameters = Mapping[str, Any]


class Plain:
    """Turns a dataclass into plain JSON values and back."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        known = cls.__dataclass_fields__  # type: ignore[attr-defined]
        return cls(**{name: value for name, value in values.items() if name in known})


@dataclass(frozen=True, kw_only=True)
class Finding(Plain):
    """One thing that the profile saw, in one part of the data.

    rows: their numbers in the part's source, from 0; cut to the first hundred, so `count` may exceed their number.
    """

    kind: str
    severity: Severity
    count: int
    what: str
    suggestion: str
    rows: tuple[int, ...] = ()
    part: str = "train"


@dataclass(frozen=True, kw_only=True)
class Schema(Plain):
    """What the columns mean to a task. `classes` is sorted and empty where the task has none.

    levels: of images with more than 8 bits a channel, which values are shown from black to white (data/levels.py).
    shaped: whether images have their shape in the alpha channel alone, which is laid on a ground (data/images.py).
    """

    task: str
    inputs: tuple[str, ...]
    target: str
    classes: tuple[str, ...] = ()
    levels: tuple[float, float] | None = None
    shaped: bool = False

    def to_json(self) -> dict[str, Any]:
        """What stands at its default is left out: most data have no such images."""
        return {name: value for name, value in super().to_json().items() if value not in (None, False)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        black, beyond = values.get("levels") or (0.0, 0.0)
        return cls(
            task=values["task"],
            target=values["target"],
            inputs=tuple(values["inputs"]),
            classes=tuple(values["classes"]),
            levels=(black, beyond) if beyond > black else None,
            shaped=bool(values.get("shaped")),
        )


@dataclass(frozen=True, kw_only=True)
class Split(Plain):
    """Who saw which rows. Row numbers count from 0 in the file they came from (see split.json)."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    strategy: str
    seed: int
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Fold(Plain):
    """One of several cuts of the same rows, numbered from 1: how many train and judge, and their fingerprints."""

    number: int
    train: int
    validation: int
    train_sha256: str
    validation_sha256: str


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """Cleaned, split data on disk, ready for every contender.

    directory: the run folder's data/, which holds train.arrow and validation.arrow (columns `row`, the
    inputs, `label`), test.arrow (the same without `label`) and test_labels.arrow (`row`, `label`), which
    leaderboard/score.py alone opens.
    counts: rows per part. class_counts: training rows per class. cleaned: one line per repair.
    folds: with --folds the cuts of train and validation; the parts on disk, and `counts`, are those of the first.
    given: parts that were not cut from train.
    """

    directory: Path
    schema: Schema
    split: Split
    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    class_counts: Mapping[str, int]
    assumptions: tuple[str, ...] = ()
    cleaned: tuple[str, ...] = ()
    folds: tuple[Fold, ...] = ()
    given: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Plain):
    """Weights on disk. `name` is what the user typed; `revision` is a hub commit or a hash of the files."""

    name: str
    path: str
    revision: str
    kind: Literal["folder", "package", "hub"]
    architecture: str
    model_type: str
    parameters: int
    family: str = ""


@dataclass(frozen=True, kw_only=True)
class Contender(Plain):
    """One checkpoint with one way to adapt it: a row of the board. `name` is unique in a run."""

    name: str
    checkpoint: Checkpoint
    family: str
    adaptation: str

    @property
    def slug(self) -> str:
        """The name as a folder name."""
        return slug(self.name)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "checkpoint": Checkpoint.from_json(values["checkpoint"])})


@dataclass(frozen=True, kw_only=True)
class Budget(Plain):
    """What every contender gets, identically: either `trials` or `device_seconds`."""

    trials: int | None = None
    device_seconds: float | None = None
    search_share: float = 0.6


@dataclass(frozen=True, kw_only=True)
class Away(Plain):
    """Where nodes without the driver's files find them: a run's storage, and keys of bundles in it."""

    storage: str
    data: str
    weights: str


@dataclass(frozen=True, kw_only=True)
class TrialSpec(Plain):
    """All that a worker needs to run one training; plain JSON.

    away: paths are the driver's, and every node fetches what it needs; None: all nodes see these paths.
    micro_batch: most rows at once on each worker, as earlier trainings of the contender found out; None: all.
    patience_samples: a training ends that has not improved on validation for so many samples; None: none does.
    shard: several workers share the model, each keeping its part, instead of having it whole (training/sharding.py).
    fold: the cut of the training and validation rows that it uses, counted from 1; None: the one that there is.
    checkpoint_seconds: device time between two checkpoints, which a retry goes on from; None: as the loop thinks fit.
    """

    id: str
    kind: TrialKind
    contender: Contender
    recipe: dict[str, Any]
    seed: int
    horizon_samples: int
    rungs: tuple[int, ...]
    split_fingerprint: str
    data_directory: str
    run_directory: str
    task: str
    metric: str
    schema: Schema
    number: int = 0
    micro_batch: int | None = None
    patience_samples: int | None = None
    gradient_checkpointing: bool = False
    compile: bool = False
    shard: bool = False
    fold: int | None = None
    checkpoint_seconds: float | None = None
    away: Away | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        nested: dict[str, Any] = {"contender": Contender.from_json(values["contender"])}
        nested |= {"schema": Schema.from_json(values["schema"]), "rungs": tuple(values["rungs"])}
        nested |= {"away": Away.from_json(values["away"]) if values.get("away") else None}
        return cls(**{**values, **nested})


@dataclass(frozen=True, kw_only=True)
class Cost(Plain):
    device_seconds: float = 0.0
    wall_seconds: float = 0.0
    samples_seen: int = 0
    peak_memory_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class TrialResult(Plain):
    """One line of trials.jsonl: exists for every training, however it ended (records.md).

    validation: the deciding metric at the last evaluation; None where there was none.
    curve: one dict an evaluation, {"samples_seen", "train_loss", <metric>: value, ...}.
    spent: device-seconds by ledger kind; sums to cost.device_seconds.
    micro_batch: most rows at once on each worker, where memory allowed no whole batch.
    fold: the cut that trained and judged it; None where there is one.
    """

    id: str
    kind: TrialKind
    contender: str
    status: TrialStatus
    recipe: dict[str, Any]
    seed: int
    horizon_samples: int
    curve: tuple[dict[str, Any], ...]
    validation: float | None
    cost: Cost
    error: str | None
    predictions_file: str | None
    split_fingerprint: str
    environment: dict[str, Any]
    started_at: str
    ended_at: str
    number: int = 0
    spent: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    latency_ms_p50: float | None = None
    parameters: int | None = None
    trainable_parameters: int | None = None
    model_dir: str | None = None
    predictions_sha256: str | None = None
    notes: tuple[str, ...] = ()
    micro_batch: int | None = None
    fold: int | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        nested = {"cost": Cost.from_json(values["cost"]), "curve": tuple(values["curve"])}
        nested["notes"] = tuple(values.get("notes", ()))
        return super().from_json({**values, **nested})


@dataclass(frozen=True, kw_only=True)
class Spend(Plain):
    """One line of ledger.jsonl."""

    contender: str
    trial: str
    kind: SpendKind
    device_seconds: float
    at: str


@dataclass(frozen=True, kw_only=True)
class ClassScore(Plain):
    """How well one class is found on the test. None where nothing was so, or nothing was called so."""

    name: str
    rows: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, kw_only=True)
class SliceScore(Plain):
    """The deciding metric on the test rows of one slice, with its 95% interval; None where it is not defined there.

    few: too few rows to be judged.
    """

    column: str
    value: str
    rows: int
    mean: float | None
    low: float | None
    high: float | None
    few: bool


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow(Plain):
    """One row of leaderboard.json (records.md). Fields after `model_dir` are additions.

    latency_ms_*: of the shipped model or the baseline, raw input to prediction, one row or 32 at a time.
    latency_busy: the load under which they were measured, where others held cores (training/load.py); else None.
    rows_per_second: at 32. peak_memory_bytes: the most that a training of the row held. price: of device_seconds.
    classes: the weakest recall first. pareto: costs ("latency", "device_seconds") on whose front the row stands.
    collapsed_finals: those that call every test row the same.
    optimism: by how much the search flattered its best trial, and validation the finals; above zero is flattery.
    """

    rank: int
    tie_group: int
    contender: str
    kind: Literal["contender", "baseline"]
    status: Literal["ok", "failed"]
    error: str | None
    test_mean: float | None
    test_low: float | None
    test_high: float | None
    test_per_seed: tuple[float, ...]
    seeds: tuple[int, ...]
    validation_mean: float | None
    search_validation: float | None
    default_test_mean: float | None
    device_seconds: float
    device_seconds_allowed: float | None
    trials: dict[str, int]
    latency_ms_p50: float | None
    parameters: int | None
    recipe: dict[str, Any]
    model_dir: str | None
    tuned_minus_default: dict[str, float] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    metric_intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    latency_ms_p95: float | None = None
    latency_ms_p50_batch_32: float | None = None
    latency_ms_p95_batch_32: float | None = None
    rows_per_second: float | None = None
    size_bytes: int | None = None
    peak_memory_bytes: int | None = None
    price: float | None = None
    calibration_error: float | None = None
    classes: tuple[ClassScore, ...] = ()
    slices: tuple[SliceScore, ...] = ()
    collapsed_finals: int = 0
    optimism: dict[str, float] | None = None
    default_recipe: dict[str, Any] = field(default_factory=dict)
    pareto: tuple[str, ...] = ()
    latency_busy: dict[str, Any] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        lists: dict[str, Any] = {k: tuple(values[k]) for k in ("test_per_seed", "seeds")}
        lists["classes"] = tuple(ClassScore.from_json(one) for one in values.get("classes", ()))
        lists["slices"] = tuple(SliceScore.from_json(one) for one in values.get("slices", ()))
        lists["pareto"] = tuple(values.get("pareto", ()))
        lists["metric_intervals"] = {k: (low, high) for k, (low, high) in values.get("metric_intervals", {}).items()}
        return super().from_json({**values, **lists})


def slug(name: str) -> str:
    """A name that is safe as one path component on every system; distinct names stay readable."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"
