"""What people are told of a cluster that changes under a search, and what is refused before one."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from automl.search.cluster import (
    MOST_NODES,
    WAIT_SECONDS,
    Node,
    Outlook,
    blind_nodes,
    free_resources,
    is_room_wanted,
    living_nodes,
    startable_nodes,
)
from automl.search.slots import Slots

ONE = Slots(count=1, cpus=1, gpus=1, follows=True)


class World:
    """A cluster and a clock in the test's hands."""

    def __init__(self) -> None:
        self.time, self.notes, self.startable = 0.0, list[str](), list[Node]()
        self.nodes = [Node("a", {"CPU": 2.0, "GPU": 1.0}, id="1")]
        self.room_wanted = True
        self.outlook = Outlook(
            self.notes.append, lambda: self.nodes, lambda: {"CPU": 2.0, "GPU": 0.0}, lambda: self.startable, self.now,
            lambda: self.room_wanted,
        )  # fmt: skip

    def now(self) -> float:
        return self.time

    def look(self, slots: Slots, *waiting: float | None) -> Slots:
        self.time += 2.0
        return self.outlook.slots(slots, waiting)


def test_a_node_that_joins_is_used_and_one_that_goes_is_not() -> None:
    world = World()
    assert world.look(ONE).count == 1
    world.nodes.append(Node("b", {"CPU": 4.0, "GPU": 2.0}, id="2"))
    more = world.look(ONE)
    assert more.count == 3
    del world.nodes[0]
    assert world.look(more).count == 2
    assert world.notes == [
        "the node b (4 CPUs, 2 GPUs) has joined: 3 trainings at a time instead of 1",
        "the node a (2 CPUs, 1 GPU) is gone or going: 2 trainings at a time instead of 3",
    ]


def test_as_many_are_asked_for_as_an_autoscaler_may_start() -> None:
    """It starts nodes for what waits: with a slot for each node that is there, there would never be a second one."""
    world = World()
    world.nodes.clear()
    world.startable = [Node("gpu-worker", {"CPU": 8.0, "GPU": 1.0})] * 3
    assert world.look(ONE).count == 3


def test_nothing_waits_in_silence() -> None:
    world = World()
    begun = world.time
    while world.time < WAIT_SECONDS + 4:
        world.look(ONE, begun, None)
    (told,) = world.notes
    assert "1 of the trainings have waited up to 20 s for a process with 1 CPU, 1 GPU" in told
    assert "2 of 2 CPUs free, 0 of 1 GPUs free on 1 nodes; nothing will change unless an autoscaler" in told
    world.startable = [Node("gpu-worker", {"CPU": 8.0, "GPU": 1.0})] * 3
    while world.time < 10 * WAIT_SECONDS:
        world.look(ONE, begun)
    assert "the autoscaler may start 3 x gpu-worker (8 CPUs, 1 GPU)" in world.notes[-1]
    assert len(world.notes) <= 5  # more and more rarely


def test_processes_that_have_a_place_are_said_to_start() -> None:
    world = World()
    world.room_wanted = False
    while world.time < WAIT_SECONDS + 4:
        world.look(ONE, 0.0, 0.0)
    (told,) = world.notes
    assert told.startswith(
        "2 of the trainings have waited up to 20 s for their processes, which have a place and are"
    )


def test_who_has_a_process_is_not_waited_for() -> None:
    world = World()
    while world.time < 3 * WAIT_SECONDS:
        world.look(ONE, None, world.time)
    assert world.notes == []


# -- on a Ray that runs ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_nodes_are_asked_whether_they_see_a_path_and_one_that_is_gone_sees_nothing(tmp_path: Path) -> None:
    (node,) = living_nodes()
    gone = replace(node, id="e" * len(node.id))
    assert blind_nodes([node], str(tmp_path)) == []
    assert blind_nodes([node, gone], str(tmp_path)) == [gone]
    assert blind_nodes([node], str(tmp_path / "elsewhere")) == [node]


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_what_a_running_ray_has_and_what_waits_in_it() -> None:
    from ray.util import placement_group, remove_placement_group

    (node,) = living_nodes()
    assert free_resources()["CPU"] == node.total["CPU"] >= 1
    assert not is_room_wanted()
    group = placement_group([{"CPU": node.total["CPU"] + 1}])
    try:
        assert not group.wait(0.1)
        assert is_room_wanted()
    finally:
        remove_placement_group(group)


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_an_autoscaler_that_says_what_it_may_start_is_believed() -> None:
    import ray
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import ClusterConfig, NodeGroupConfig

    assert startable_nodes() == []
    cluster = GcsClient(address=ray.get_runtime_context().gcs_address)
    groups = [NodeGroupConfig(name="gpu", resources={"CPU": 8, "GPU": 1}, max_count=3)]
    groups.append(NodeGroupConfig(name="cpu", resources={"CPU": 4}, max_count=-1))
    cluster.report_cluster_config(ClusterConfig(node_group_configs=groups).SerializeToString())
    try:
        assert startable_nodes()[:3] == [Node("gpu", {"CPU": 8, "GPU": 1})] * 3
        assert startable_nodes()[3:] == [Node("cpu", {"CPU": 4})] * MOST_NODES
    finally:
        cluster.report_cluster_config(ClusterConfig().SerializeToString())
    assert startable_nodes() == []


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_node_that_is_about_to_be_taken_away_takes_no_work_and_its_training_knows() -> None:
    """The last of this file: the node takes no work any more, so that its Ray is ended."""
    import ray
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    (node,) = living_nodes()
    looks = ray.remote(num_cpus=1)(Looks).remote()
    assert not ray.get(looks.leaving.remote())
    cluster = GcsClient(address=ray.get_runtime_context().gcs_address)
    in_an_hour = int(1000 * (time.time() + 3600))
    accepted, why = cluster.drain_node(
        node.id, DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"), "spot", in_an_hour
    )
    assert accepted, why
    assert living_nodes() == []
    assert Outlook(print).has_lost(frozenset({node.id}))
    assert ray.get(looks.leaving.remote())
    ray.shutdown()


class Looks:
    """A training's process that asks each time."""

    def leaving(self) -> bool:
        from automl.training.clock import SlotClock
        from automl.training.workers import TrialContext

        return TrialContext(SlotClock(None), print).leaving
