"""What runs at a time, planned from what there is; no GPU is needed to plan for one."""

from __future__ import annotations

from dataclasses import replace

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
    assert plan_slots([resources], slots, workers) == replace(expected, follows=slots is None)


def test_a_trial_that_fits_nowhere_is_refused_before_anything_waits() -> None:
    with pytest.raises(RequestError, match="4 workers at a time with 1 CPU each need 4 CPUs"):
        plan_slots([{"CPU": 2}], 2, 2)


def test_trials_share_a_gpu_where_the_user_says_so() -> None:
    slots = plan_slots([{"CPU": 16, "GPU": 2}], None, 1, trials_per_gpu=4)
    assert slots == Slots(count=8, cpus=2, gpus=0.25, follows=True)
    assert plan_slots([{"CPU": 16, "GPU": 2}], None, 2, trials_per_gpu=2).count == 2


def test_a_gpu_that_is_not_there_cannot_be_shared() -> None:
    with pytest.raises(RequestError, match="no GPU is seen"):
        plan_slots([{"CPU": 2}], None, 1, trials_per_gpu=2)
    assert plan_slots([{"CPU": 2}], None, 1, trials_per_gpu="auto") == plan_slots([{"CPU": 2}], None, 1)


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
    slots = plan_slots([{"CPU": 16, "GPU": 2}], None, 1, trials_per_gpu="auto")
    assert (slots.count, slots.gpus, slots.automatic) == (2, 1.0, True)
    shared = slots.shared({"a": (3 * GIB, 24 * GIB), "b": (4 * GIB, 24 * GIB)})
    assert shared == Slots(count=8, cpus=2, gpus=0.25, follows=True)
    assert not plan_slots([{"CPU": 16, "GPU": 2}], 3, 1, trials_per_gpu="auto").automatic  # the user has said it


def test_what_was_measured_is_read_from_the_records_of_gpus_alone() -> None:
    def result(contender: str, peak: int, **environment: int) -> TrialResult:
        return TrialResult(
            id="x", kind="trial", contender=contender, status="completed", recipe={}, seed=1, horizon_samples=1,
            curve=(), validation=None, cost=Cost(peak_memory_bytes=peak), error=None, predictions_file=None,
            split_fingerprint="", environment=environment, started_at="", ended_at="",
        )  # fmt: skip

    found = measured_memory([result("a", 5, gpu_bytes=80), result("a", 7, gpu_bytes=80), result("b", 9)])
    assert found == {"a": (7, 80)}


def test_a_worker_lies_on_one_node_whatever_the_cluster_has_in_all() -> None:
    three = [{"CPU": 1.0}, {"CPU": 3.0}, {"CPU": 2.0}]
    assert plan_slots(three, None, 1).count == 6
    two_of_two = plan_slots(three, 2, 1)
    assert (two_of_two.count, two_of_two.cpus) == (2, 2)  # 3 CPUs each would leave one of them without a node
    assert plan_slots(three, None, 1, cpus=2).count == 2
    with pytest.raises(RequestError, match=r"4 CPUs each need 4 CPUs in all; .*\(1 CPU; 3 CPUs; 2 CPUs\)"):
        plan_slots(three, None, 1, cpus=4)


def test_gpus_and_cpus_of_a_trial_are_those_of_the_nodes_that_have_gpus() -> None:
    head_and_two = [{"CPU": 64.0}, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 16.0, "GPU": 1.0}]
    slots = plan_slots(head_and_two, None, 1)
    assert (slots.count, slots.cpus, slots.gpus) == (3, 4, 1.0)
    assert plan_slots(head_and_two, 1, 1).gpus == 2.0  # never three: no node has them
    over_two_nodes = plan_slots(head_and_two, None, 3)
    assert (over_two_nodes.count, over_two_nodes.workers) == (1, 3)
    with pytest.raises(RequestError, match="2 workers at a time with 8 CPUs, 2 GPUs each"):
        plan_slots(head_and_two, None, 2, gpus=2)


def test_gpus_that_an_autoscaler_has_yet_to_start_are_waited_for_where_the_user_says_exactly_what() -> None:
    head = [{"CPU": 4.0}]
    slots = plan_slots(head, 8, 1, gpus=1, more_may_come=True)
    assert (slots.count, slots.gpus, slots.cpus) == (8, 1, 1)
    for said in ({"slots": 8, "gpus": 1.0}, {"slots": None, "gpus": 1.0, "more_may_come": True}):
        with pytest.raises(RequestError, match="GPU"):
            plan_slots(head, workers=1, **said)  # type: ignore[arg-type]


def test_memory_is_a_resource_like_others() -> None:
    nodes = [{"CPU": 8.0, "memory": 10.0 * GIB}, {"CPU": 8.0, "memory": 3.0 * GIB}]
    assert plan_slots(nodes, None, 1, cpus=1, memory=4 * GIB).count == 2
    with pytest.raises(RequestError, match=r"16\.0 GiB of memory each"):
        plan_slots(nodes, None, 1, memory=16 * GIB)


def test_slots_follow_the_nodes_unless_the_user_has_said_how_many() -> None:
    slots = plan_slots([{"CPU": 2.0}], None, 1)
    assert slots.on([{"CPU": 2.0}, {"CPU": 4.0}]).count == 6
    assert slots.on([]).count == 1  # what runs is waited for, and nothing else begins
    assert plan_slots([{"CPU": 2.0}], 1, 1).on([{"CPU": 2.0}, {"CPU": 4.0}]).count == 1
