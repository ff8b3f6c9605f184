"""What runs at a time, planned from what there is; no GPU is needed to plan for one."""

from __future__ import annotations

import pytest

from automl.errors import RequestError
from automl.search.slots import PROCESS_BYTES, Slots, measured_memory, plan_slots, trials_that_fit
from automl.types import Cost, TrialResult

GIB = 2**30


@pytest.mark.parametrize(
    ("resources", "slots", "workers", "expected"),
    [
        ({"CPU": 2}, None, 1, Slots(count=2, cpus=1, gpus=0)),
        ({"CPU": 8}, 3, 1, Slots(count=3, cpus=2, gpus=0)),
        ({"CPU": 8}, None, 4, Slots(count=2, cpus=1, gpus=0, workers=4)),
        ({"CPU": 16, "GPU": 4}, None, 1, Slots(count=4, cpus=4, gpus=1)),
        ({"CPU": 16, "GPU": 1}, 4, 1, Slots(count=4, cpus=4, gpus=0.25)),
        ({"CPU": 16, "GPU": 4}, 6, 1, Slots(count=6, cpus=2, gpus=0.5)),
        ({"CPU": 16, "GPU": 8}, None, 2, Slots(count=4, cpus=2, gpus=1, workers=2)),
    ],
)
def test_slots_share_what_there_is(
    resources: dict[str, float], slots: int | None, workers: int, expected: Slots
) -> None:
    assert plan_slots(resources, slots, workers) == expected


def test_a_trial_that_fits_nowhere_is_refused_before_anything_waits() -> None:
    with pytest.raises(RequestError, match="needs 4 CPUs"):
        plan_slots({"CPU": 2}, 2, 2)


def test_trials_share_a_gpu_where_the_user_says_so() -> None:
    slots = plan_slots({"CPU": 16, "GPU": 2}, None, 1, trials_per_gpu=4)
    assert slots == Slots(count=8, cpus=2, gpus=0.25)
    assert plan_slots({"CPU": 16, "GPU": 2}, None, 2, trials_per_gpu=2).count == 2


def test_a_gpu_that_is_not_there_cannot_be_shared() -> None:
    with pytest.raises(RequestError, match="no GPU is seen"):
        plan_slots({"CPU": 2}, None, 1, trials_per_gpu=2)
    assert plan_slots({"CPU": 2}, None, 1, trials_per_gpu="auto") == plan_slots({"CPU": 2}, None, 1)


@pytest.mark.parametrize(
    ("peaks", "gpu_bytes", "cpus", "expected"),
    [
        ([2 * GIB, 4 * GIB], 80 * GIB, 64, 15),  # 72 GiB of 80, 4.6 GiB a trial
        ([2 * GIB], 80 * GIB, 8, 8),  # no more than there are CPUs
        ([60 * GIB], 80 * GIB, 8, 1),
        ([90 * GIB], 80 * GIB, 8, 1),  # a trial that had to take fewer rows still runs, alone
    ],
)
def test_the_hungriest_contender_decides_how_many_fit(
    peaks: list[int], gpu_bytes: int, cpus: int, expected: int
) -> None:
    fit = trials_that_fit(peaks, gpu_bytes, cpus)
    assert fit == expected
    assert fit == 1 or fit * (max(peaks) + PROCESS_BYTES) <= 0.9 * gpu_bytes


def test_one_trial_a_gpu_is_measured_before_several_share_it() -> None:
    slots = plan_slots({"CPU": 16, "GPU": 2}, None, 1, trials_per_gpu="auto")
    assert (slots.count, slots.gpus, slots.automatic) == (2, 1.0, True)
    shared = slots.shared({"a": (3 * GIB, 24 * GIB), "b": (4 * GIB, 24 * GIB)})
    assert shared == Slots(count=8, cpus=2, gpus=0.25)
    assert not plan_slots({"CPU": 16, "GPU": 2}, 3, 1, trials_per_gpu="auto").automatic  # the user has said it


def test_what_was_measured_is_read_from_the_records_of_gpus_alone() -> None:
    def result(contender: str, peak: int, **environment: int) -> TrialResult:
        return TrialResult(
            id="x", kind="trial", contender=contender, status="completed", recipe={}, seed=1, horizon_samples=1,
            curve=(), validation=None, cost=Cost(peak_memory_bytes=peak), error=None, predictions_file=None,
            split_fingerprint="", environment=environment, started_at="", ended_at="",
        )  # fmt: skip

    found = measured_memory([result("a", 5, gpu_bytes=80), result("a", 7, gpu_bytes=80), result("b", 9)])
    assert found == {"a": (7, 80)}
