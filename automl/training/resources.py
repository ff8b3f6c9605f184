"""What a training's workers take of their machines, told with its evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import monotonic, process_time

import torch
from torch import Tensor

from automl.tracking.describe import RESOURCES

SAMPLE_SECONDS = 10.0
MOST_SAMPLES = 32
"""So many at most between two evaluations; where these lie far apart, the samples do too."""
FIELDS = ("cpu_percent", "memory_bytes", "gpu_percent", "gpu_memory_bytes")
Sample = tuple[float, ...]
"""Samples seen, and the fields; NaN where one is not known."""


class Meter:
    """Samples of this process: one about every ten seconds while it trains, and one at each evaluation.

    cpu_percent: of one core, since the sample before. memory_bytes: resident, of the process.
    gpu_percent: how busy the GPU is, whoever keeps it so. gpu_memory_bytes: what this process holds of it.
    """

    def __init__(
        self,
        device: torch.device,
        gpu_percent: Callable[[], float] = lambda: math.nan,
        now: Callable[[], float] = monotonic,
        cpu_seconds: Callable[[], float] = process_time,
    ) -> None:
        self._device, self._gpu_percent = device, gpu_percent
        self._now, self._cpu_seconds = now, cpu_seconds
        self._at, self._cpu = now(), cpu_seconds()
        self._every = SAMPLE_SECONDS
        self._samples: list[Sample] = []

    def look(self, samples_seen: int) -> None:
        """Take a sample where it is time for one."""
        if self._now() - self._at >= self._every:
            self._sample(samples_seen)

    def take(self, samples_seen: int) -> list[Sample]:
        """The samples since the last time, with one of this moment."""
        self._sample(samples_seen)
        taken, self._samples, self._every = self._samples, [], SAMPLE_SECONDS
        return taken

    def _sample(self, samples_seen: int) -> None:
        if len(self._samples) == MOST_SAMPLES:  # room for as long again, half as often
            self._samples, self._every = self._samples[1::2], self._every * 2
        at, cpu = self._now(), self._cpu_seconds()
        percent = 100 * (cpu - self._cpu) / max(at - self._at, 1e-9)
        self._at, self._cpu = at, cpu
        on_gpu = self._device.type == "cuda"
        gpu = (self._gpu_percent(), float(torch.cuda.memory_reserved(self._device))) if on_gpu else (math.nan,) * 2
        self._samples.append((float(samples_seen), percent, resident_bytes(), *gpu))


def resident_bytes() -> float:
    """Of this process; NaN where psutil is not there. Ray brings it along."""
    try:
        import psutil
    except ImportError:
        return math.nan
    return float(psutil.Process().memory_info().rss)


def of_all_workers(
    samples: Sequence[Sample], rank: int, world: int, device: torch.device, add_up: Callable[[Tensor], None]
) -> list[dict[str, float]]:
    """{"samples_seen", "system/worker0/cpu_percent", ...}, a row for each moment at which a worker was looked at.

    Every worker calls it, with its own samples; add_up: sums a tensor over all of them, in place.
    """
    values = torch.zeros(world, MOST_SAMPLES, 1 + len(FIELDS), dtype=torch.float64, device=device)
    values[rank] = math.nan  # its places are zero in all others, so that a sum is a gathering
    values[rank, : len(samples)] = torch.tensor(samples, dtype=torch.float64).reshape(-1, 1 + len(FIELDS))
    add_up(values)
    rows: dict[int, dict[str, float]] = {}
    for worker, of_worker in enumerate(values.tolist()):
        for seen, *told in of_worker:
            if not math.isnan(seen):
                named = {
                    f"{RESOURCES}worker{worker}/{name}": round(x, 1) for name, x in zip(FIELDS, told, strict=True)
                }
                row = rows.setdefault(int(seen), {"samples_seen": int(seen)})
                row |= {name: x for name, x in named.items() if not math.isnan(x)}
    return [rows[seen] for seen in sorted(rows)]
