"""What a few steps of a contender's first recipe took, as plain values: no torch is needed to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from automl.types import Plain


@dataclass(frozen=True, kw_only=True)
class Probe(Plain):
    """What a few real steps of a contender's first recipe took, on one worker with what a trial gets.

    error: why nothing could be measured; the rest is then zero.
    ready_seconds: loading and all else before the first steady step. seconds_per_sample: of steps, evaluation apart.
    predict_seconds_per_row, scoring_seconds: an evaluation takes both, the latter once.
    cache_seconds, cache_seconds_per_row, cache_bytes_per_row: of encoding rows and storing activations, once a run.
    model_bytes: of the whole model; learning_bytes: of what learns.
    machine_bytes: memory of the GPU, or of the host where the model was there. steps: how many were measured.
    """

    contender: str
    error: str | None = None
    batch_size: int = 0
    steps: int = 0
    ready_seconds: float = 0.0
    seconds_per_sample: float = 0.0
    predict_seconds_per_row: float = 0.0
    scoring_seconds: float = 0.0
    cache_seconds: float = 0.0
    cache_seconds_per_row: float = 0.0
    cache_bytes_per_row: float = 0.0
    stores_activations: bool = False
    peak_memory_bytes: int = 0
    machine_bytes: int = 0
    model_bytes: int = 0
    learning_bytes: int = 0
    wall_seconds: float = 0.0
    environment: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return super().from_json({**values, "notes": tuple(values.get("notes", ()))})
