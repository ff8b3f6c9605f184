"""A training on a node that does not see the driver's files: what it reads is fetched, what it makes handed over."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.errors import AutoMLError, RunFolderError
from automl.leaderboard.store import RunFolder
from automl.storage.bundle import bundle_here, mark_used, node_cache
from automl.storage.mirror import Mirror
from automl.storage.place import Storage
from automl.types import TrialSpec

NOT_HERE = "not_here"
"""How a training says that its node cannot reach the run's files: it is no result, and it runs again."""

Send = Callable[[dict[str, Any]], None]


class NotHere(Exception):
    """This node cannot reach the run's files."""


def brought_here(spec: TrialSpec) -> TrialSpec:
    """The spec with paths of this node; rows and weights are fetched where no process of it has done so before.

    Raises NotHere where that fails, or where the driver's paths were to be seen from here and are not.
    """
    if spec.away is None:
        for path in (spec.data_directory, spec.contender.checkpoint.path):
            if not Path(path).is_dir():
                raise NotHere(str(_not_seen(path)))
        return spec
    try:
        storage = Storage(spec.away.storage)
        data, weights = (bundle_here(storage, key) for key in (spec.away.data, spec.away.weights))
        run = RunFolder(node_cache() / "runs" / hashlib.sha256(storage.url.encode()).hexdigest()[:16])
        for directory in (run.cache, run.checkpoints, run.heartbeats, run.predictions):
            directory.mkdir(parents=True, exist_ok=True)
        mark_used(run.path)
    except (OSError, AutoMLError) as problem:
        raise NotHere(str(problem)) from problem
    checkpoint = replace(spec.contender.checkpoint, path=str(weights))
    return replace(
        spec,
        data_directory=str(data),
        run_directory=str(run.path),
        contender=replace(spec.contender, checkpoint=checkpoint),
    )


def _not_seen(path: str) -> AutoMLError:
    import socket

    return RunFolderError(
        f"the node {socket.gethostname()} does not see {path}",
        "nodes that all see the run folder and the weights, or a storage that all reach",
        "Name one with --storage s3://BUCKET/PATH, gs://BUCKET/PATH or a path that all nodes see",
    )


@contextmanager
def state_kept(spec: TrialSpec, send: Send, rank: int = 0) -> Iterator[Send]:
    """Inside, checkpoint and heartbeat go into the run's storage, from where a retry on any node takes them up.

    spec: as `brought_here` made it. Yields what is to be told of the training's evaluations and its end: with the
    last word its predictions and its model are handed over. Of several workers rank 0 keeps the state, and all
    take it up. Raises NotHere where the storage fails.
    """
    if spec.away is None:
        yield send
        return
    storage, folder = Storage(spec.away.storage), RunFolder(spec.run_directory)
    checkpoint = folder.checkpoints / f"{spec.id}.resume.pt"
    state = (checkpoint, folder.heartbeats / f"{spec.id}.json") if rank == 0 else (checkpoint,)
    try:
        for file in state:  # what lies here may be of an attempt that was overtaken elsewhere
            if not storage.get(file.relative_to(folder.path).as_posix(), file):
                file.unlink(missing_ok=True)
    except OSError as problem:
        raise NotHere(_lost(storage, problem)) from problem
    if rank > 0:
        yield send
        return
    logs = folder.logs / "trials"
    mirror = Mirror(storage, folder.path, (), lambda: (*state, *logs.glob(f"{spec.id}*.log")))
    mirror.start()

    def hand_over(message: dict[str, Any]) -> None:
        if message["event"] == "end":
            try:
                mirror.close()
                for name in (message.get("predictions_file"), message.get("model_dir")):
                    _hand_over(storage, folder.path, name)
            except OSError as problem:
                raise NotHere(_lost(storage, problem)) from problem
        send(message)

    try:
        yield hand_over
    finally:
        mirror.close(last_round=False)
        for file in state:
            file.unlink(missing_ok=True)


def _hand_over(storage: Storage, root: Path, name: str | None) -> None:
    """Put a file or folder into the storage and remove it from this node."""
    if name is None:
        return
    place = root / name
    for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if file.is_file():
            storage.put(file, file.relative_to(root).as_posix())
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()


def _lost(storage: Storage, problem: Exception) -> str:
    return f"{storage.url} cannot be reached from a node: {' '.join(str(problem).split())[:300]}"


def told_not_here(problem: NotHere) -> dict[str, Any]:
    """The last word of a training whose node cannot reach its files."""
    return {"event": "end", "status": NOT_HERE, "error": str(problem)}
