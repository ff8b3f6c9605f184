"""What an answer costs: latency, throughput, parameters, size on disk. Measured alone, one row after another."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from automl.models.base import ModelFamily
from automl.models.blocks import count_parameters
from automl.tasks.base import Task
from automl.training.encoded import EncodedPart
from automl.training.load import load_since, read_now
from automl.training.memory import is_out_of_memory
from automl.training.process import batch_on_device
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 40
"""Different rows that are asked for in turn."""
BATCH = 32
REPEATS = {1: 30, BATCH: 20}
WARM_UP = {1: 5, BATCH: 1}
FEWEST = 3
LIMIT_SECONDS = 20.0
"""A slow model answers less often than REPEATS, but FEWEST times at least."""


def measure_model(
    directory: Path, family: ModelFamily, task: Task, schema: Schema, table: pa.Table, device: torch.device
) -> dict[str, Any]:
    """What `time_answers` tells of a shipped model in float32, its parameters, and its bytes on disk.

    table: the input columns.
    """
    model, processor = family.open(directory)
    model.to(device).eval()
    padding, limits = family.padding(processor), family.limits(str(directory), processor)

    def answer(rows: pa.Table) -> None:
        batch = batch_of(rows, task, schema, processor, limits, padding, device)
        with torch.inference_mode():
            task.predict(model(**batch))  # brings the result to the CPU, so the device has finished

    return {
        **time_answers(answer, table, threads=1 if device.type == "cuda" else None),
        "parameters": count_parameters(model),
        "size_bytes": sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()),
    }


def batch_of(
    rows: pa.Table,
    task: Task,
    schema: Schema,
    processor: Any,
    limits: dict[str, int],
    padding: dict[str, int],
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """Raw rows as one batch of model inputs on the device."""
    part = EncodedPart.of(task.encode(rows, schema, processor, limits))
    return batch_on_device(task, part.rows(np.arange(rows.num_rows)), None, padding, device)


def time_answers(
    answer: Callable[[pa.Table], Any],
    table: pa.Table,
    clock: Callable[[], float] = perf_counter,
    threads: int | None = None,
) -> dict[str, Any]:
    """Milliseconds, median and 95th percentile, of one row and of 32 rows at a time; and rows a second at 32.

    answer: raw rows to predictions, which are on the CPU when it returns. table: rows to ask for, at least one.
    Without the numbers at 32 where the device has not the memory for so many rows. With the `load` meanwhile.
    threads: on the CPU that an answer takes (default: those of torch).
    """
    before, threads = read_now(), threads or torch.get_num_threads()
    single = _seconds(answer, table, 1, clock)
    found: dict[str, Any] = {**percentiles_ms(single), "hostname": platform.node()}
    try:
        batched = _seconds(answer, table, BATCH, clock)
    except Exception as problem:
        if not is_out_of_memory(problem):
            raise
        return found | {"load": load_since(before, threads)}
    found |= {f"{name}_batch_{BATCH}": value for name, value in percentiles_ms(batched).items()}
    found |= {"load": load_since(before, threads)}
    return {**found, "rows_per_second": round(BATCH * len(batched) / max(sum(batched), 1e-9), 3)}


def _seconds(
    answer: Callable[[pa.Table], Any], table: pa.Table, size: int, clock: Callable[[], float]
) -> list[float]:
    """Seconds of each answer after the warm-up."""
    begun, seconds = clock(), []
    for index in range(WARM_UP[size] + REPEATS[size]):
        rows = table.take([(index * size + place) % table.num_rows for place in range(size)])
        started = clock()
        answer(rows)
        ended = clock()
        if index >= WARM_UP[size]:
            seconds.append(ended - started)
        if len(seconds) >= FEWEST and ended - begun > LIMIT_SECONDS:
            break
    return seconds


def percentiles_ms(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(np.asarray(seconds) * 1000, [50, 95])
    return {"latency_ms_p50": round(float(p50), 3), "latency_ms_p95": round(float(p95), 3)}
