"""What a shipped model costs to use: latency, parameters, size on disk. Measured alone, one model after another."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from automl.models.base import ModelFamily
from automl.models.blocks import count_parameters
from automl.tasks.base import Task
from automl.training.encoded import EncodedPart
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa

REPEATS = 30
WARM_UP = 5


def measure_model(
    directory: Path, family: ModelFamily, task: Task, schema: Schema, table: pa.Table, device: torch.device
) -> dict[str, Any]:
    """Latency in ms of one row at a time, raw input to prediction, in float32.

    table: the input columns; one row is measured after another, REPEATS in all.
    """
    model, processor = family.open(directory)
    model.to(device).eval()
    padding, limits = family.padding(processor), family.limits(str(directory), processor)
    seconds = []
    for index in range(WARM_UP + REPEATS):
        row = table.slice(index % table.num_rows, 1)
        started = perf_counter()
        part = EncodedPart.of(task.encode(row, schema, processor, limits))
        collated = task.collate(part.rows(np.zeros(1, dtype=np.int64)), None, padding)
        batch = {name: value.to(device) for name, value in collated.items()}
        with torch.inference_mode():
            task.predict(model(**batch))  # brings the result to the CPU, so the device has finished
        seconds.append(perf_counter() - started)
    return {
        **percentiles_ms(seconds[WARM_UP:]),
        "parameters": count_parameters(model),
        "size_bytes": sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()),
    }


def percentiles_ms(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(np.asarray(seconds) * 1000, [50, 95])
    return {"latency_ms_p50": round(float(p50), 3), "latency_ms_p95": round(float(p95), 3)}
