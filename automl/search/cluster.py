"""What a Ray cluster has, node by node, as it comes and goes; and what a search waits for."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.errors import RequestError
from automl.search.slots import Slots, amounts

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it in the driver of a submitted job."""
LOOK_SECONDS = 1.0
WAIT_SECONDS = 20.0
"""A training that has had no process for so long is told of; then again after twice as long, and so on."""
ANSWER_SECONDS = 60.0
"""A node that does not answer within so long is not counted upon."""
MOST_NODES = 1000
"""Of a kind that an autoscaler may start without a limit."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, or one that its autoscaler may start. total: Ray's resources, such as CPU and GPU."""

    host: str
    total: Mapping[str, float]
    id: str = ""

    def describe(self) -> str:
        return f"{self.host} ({amounts(self.total) or 'nothing'})"


def living_nodes() -> list[Node]:
    """Every node that takes work; one that is about to be taken away takes none."""
    import ray
    from ray._private.state import state

    leaving = state.get_draining_nodes()
    return [
        Node(host=str(node["NodeManagerHostname"]), total=node["Resources"], id=str(node["NodeID"]))
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in leaving
    ]


def startable_nodes() -> list[Node]:
    """Every node that the cluster's autoscaler may have at a time; [] where there is none, or it does not say."""
    from ray._private.state import state

    config = state.get_cluster_config()
    return [
        Node(host=str(group.name), total=dict(group.resources))
        for group in (config.node_group_configs if config is not None else ())
        for _ in range(group.max_count if 0 <= group.max_count <= MOST_NODES else MOST_NODES)
    ]


def node_of(actor: Any) -> str:
    """The id of the node on which an actor's process is."""
    from ray._private.state import state

    return str(state.actor_table(actor._actor_id.hex())["Address"]["NodeID"])


def free_resources() -> dict[str, float]:
    import ray

    resources: dict[str, float] = ray.available_resources()
    return resources


def is_room_wanted() -> bool:
    """Whether some process of the cluster has no place yet; else those that are waited for have one, and start."""
    from ray.util import placement_group_table

    return any(group["state"] in ("PENDING", "RESCHEDULING") for group in placement_group_table().values())


class Outlook:
    """Looks at the cluster now and then while a search runs."""

    def __init__(
        self,
        note: Callable[[str], None],
        nodes: Callable[[], Sequence[Node]] = living_nodes,
        free: Callable[[], Mapping[str, float]] = free_resources,
        startable: Callable[[], Sequence[Node]] = startable_nodes,
        now: Callable[[], float] = time.monotonic,
        room_wanted: Callable[[], bool] = is_room_wanted,
    ) -> None:
        """note: told what people should know. The others look at Ray and at the clock."""
        self._room_wanted = room_wanted
        self._note, self._nodes, self._free, self._startable, self._now = note, nodes, free, startable, now
        self._next_look = now()
        self._patience = WAIT_SECONDS
        self._known: dict[str, Node] | None = None

    def slots(self, slots: Slots, waiting: Sequence[float | None]) -> Slots:
        """The slots that the cluster has room for by now.

        waiting: since when each running training has waited for a process, None where it has one.
        """
        if self._now() < self._next_look:
            return slots
        self._next_look = self._now() + LOOK_SECONDS
        nodes = self._nodes()
        startable = self._startable()  # it starts them for what waits, so that has to be asked for
        found = slots.on([node.total for node in startable or nodes])
        self._tell_of_nodes({node.id: node for node in nodes}, slots, found)
        self._tell_of_waiting(nodes, startable, slots, [since for since in waiting if since is not None])
        return found

    def _tell_of_nodes(self, nodes: dict[str, Node], before: Slots, after: Slots) -> None:
        known, self._known = self._known, nodes
        if known is None or known.keys() == nodes.keys():
            return
        changes = [f"the node {nodes[one].describe()} has joined" for one in nodes.keys() - known.keys()]
        changes += [f"the node {known[one].describe()} is gone or going" for one in known.keys() - nodes.keys()]
        slots = (
            "" if before.count == after.count else f": {after.count} trainings at a time instead of {before.count}"
        )
        self._note("; ".join(changes) + slots)

    def ids(self) -> frozenset[str]:
        """Of the nodes that there are now."""
        return frozenset(node.id for node in self._nodes())

    def has_lost(self, nodes: frozenset[str]) -> bool:
        """Whether one of these nodes is not there any more."""
        return bool(nodes) and not nodes <= self.ids()

    def misses(self, nodes: frozenset[str]) -> bool:
        """Whether one of these nodes was not there any more at the last look."""
        return self._known is not None and not nodes <= self._known.keys()

    def _tell_of_waiting(
        self, nodes: Sequence[Node], startable: Sequence[Node], slots: Slots, waiting: Sequence[float]
    ) -> None:
        longest = max((self._now() - since for since in waiting), default=0.0)
        if longest < WAIT_SECONDS:
            self._patience = WAIT_SECONDS
        if longest < self._patience:
            return
        self._patience = 2 * longest
        if not self._room_wanted():
            self._note(
                f"{len(waiting)} of the trainings have waited up to {longest:.0f} s for their processes, which have "
                "a place and are starting: the machine is slow or busy"
            )
            return
        free, total = self._free(), Counter[str]()
        for node in nodes:
            total.update(node.total)
        has = ", ".join(
            f"{free.get(name, 0):g} of {total[name]:g} {name}s free" for name in ("CPU", "GPU") if name in total
        )
        more = startable_told(startable)
        wanted = amounts(slots.per_worker)
        each = f"{slots.workers} workers with {wanted} each" if slots.workers > 1 else wanted
        self._note(
            f"{len(waiting)} of the trainings have waited up to {longest:.0f} s for a process with {each}: "
            f"{has or 'no nodes are left'} on {len(nodes)} nodes; {more}"
        )


def startable_told(nodes: Sequence[Node]) -> str:
    """What an autoscaler may add, in words."""
    if not nodes:
        return "nothing will change unless an autoscaler starts more"
    kinds = Counter(node.describe() for node in nodes)
    return "the autoscaler may start " + ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))


def refuse_blind_nodes(folder: Path) -> None:
    """Raises RequestError where some node of the connected cluster does not see the driver's folder."""
    nodes = living_nodes()
    if len(nodes) < 2:
        return
    with tempfile.NamedTemporaryFile(prefix=".seen-", dir=folder) as token:
        blind = blind_nodes(nodes, token.name)
    if blind:
        raise RequestError(
            f"{len(blind)} of {len(nodes)} nodes do not see {folder.resolve()}: "
            f"{', '.join(f'{node.host} ({node.id[:6]})' for node in blind[:4])}",
            "a run folder that all nodes see, or a storage that all reach",
            "Name one with --storage s3://BUCKET/PATH, gs://BUCKET/PATH or a path that all nodes see",
        )


def blind_nodes(nodes: Sequence[Node], path: str) -> list[Node]:
    """Those nodes on which nothing is at the path, or that do not say."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    sees = ray.remote(num_cpus=0, max_retries=0)(os.path.exists)
    answers = [
        sees.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(path)
        for node in nodes
    ]
    ray.wait(answers, num_returns=len(answers), timeout=ANSWER_SECONDS)
    return [node for node, answer in zip(nodes, answers, strict=True) if not _yes(answer)]


def _yes(answer: Any) -> bool:
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    try:
        return bool(ray.get(answer, timeout=0.1))
    except (GetTimeoutError, RayError):  # a node that does not answer holds no training either
        return False
