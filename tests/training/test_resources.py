"""What is seen of workers: samples in time, thinned where evaluations are far apart, gathered from all."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import psutil
import pytest
import torch
from torch import Tensor

from automl.training.clock import SlotClock
from automl.training.resources import MOST_SAMPLES, SAMPLE_SECONDS, Meter, of_all_workers

CPU = torch.device("cpu")


class Times:
    """A wall clock and a CPU clock that go on when they are told to."""

    def __init__(self) -> None:
        self.wall, self.cpu = 100.0, 7.0

    def pass_by(self, wall: float, cpu: float) -> None:
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu

    def meter(self) -> Meter:
        return Meter(CPU, now=lambda: self.wall, cpu_seconds=lambda: self.cpu)


def test_a_sample_is_taken_every_ten_seconds_and_at_each_evaluation() -> None:
    times = Times()
    meter, clock = times.meter(), SlotClock(None, now=lambda: times.wall)
    clock.on_tick = meter.look
    clock.tick()  # setting up: no sample stands before the first samples seen
    for step in range(1, 26):
        times.pass_by(1.0, 1.5 if step <= 10 else 0.5)
        clock.tick(step * 16)
    times.pass_by(5.0, 5.0)
    assert [(seen, cpu) for seen, cpu, *_ in meter.take(400)] == [
        (160, pytest.approx(150)), (320, pytest.approx(50)), (400, pytest.approx(75))
    ]  # fmt: skip
    times.pass_by(2.0, 1.0)
    assert [sample[:2] for sample in meter.take(416)] == [(416, pytest.approx(50))], "what was taken is told once"


def test_the_memory_is_this_processes_own() -> None:
    [(_, _, memory, gpu, gpu_memory)] = Times().meter().take(1)
    assert memory == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert math.isnan(gpu)
    assert math.isnan(gpu_memory)


def test_evaluations_hours_apart_bring_no_more_samples_than_there_is_room_for() -> None:
    times = Times()
    meter = times.meter()
    for second in range(1, 3601):
        times.pass_by(1.0, 1.0)
        meter.look(second)
    samples = meter.take(3601)
    assert MOST_SAMPLES // 2 < len(samples) <= MOST_SAMPLES
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(samples[:-1])]
    assert max(gaps) <= 2 * min(gaps), "spread over the whole hour"
    assert samples[0][0] <= 16 * SAMPLE_SECONDS
    assert samples[-2][0] > 3600 - 16 * SAMPLE_SECONDS


def test_rank_0_gets_what_every_worker_saw() -> None:
    nan, boxes = math.nan, defaultdict[int, list[Tensor]](list)
    seen = [[(16.0, 99.04, 5e8, nan, nan), (32.0, 98.0, 5e8, nan, nan)], [(32.0, 60.0, 4e8, 93.0, 1e9)]]
    for rank in (1, 0):  # what rank 1 has in its tensor is added to that of rank 0, as an exchange does

        def add_up(values: Tensor, rank: int = rank) -> None:
            for other in boxes[0]:
                values += other
            boxes[0].append(values.clone())

        rows = of_all_workers(seen[rank], rank, 2, CPU, add_up)
    assert rows == [
        {"samples_seen": 16, "system/worker0/cpu_percent": 99.0, "system/worker0/memory_bytes": 5e8},
        {
            "samples_seen": 32, "system/worker0/cpu_percent": 98.0, "system/worker0/memory_bytes": 5e8,
            "system/worker1/cpu_percent": 60.0, "system/worker1/memory_bytes": 4e8,
            "system/worker1/gpu_percent": 93.0, "system/worker1/gpu_memory_bytes": 1e9,
        },
    ]  # fmt: skip


def test_a_worker_that_looked_at_nothing_is_not_told_of() -> None:
    assert of_all_workers([], 0, 1, CPU, lambda values: None) == []
