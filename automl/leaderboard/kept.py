"""A run folder kept in a storage as well: nodes bring their results there, and any machine can go on with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from automl.errors import AutoMLError, RunFolderError
from automl.leaderboard.chain import ENDS
from automl.leaderboard.store import RunFolder
from automl.storage.bundle import BUNDLES, bundle_here, put_bundle
from automl.storage.lease import LEASE, Lease
from automl.storage.mirror import Mirror
from automl.storage.place import Storage, is_url

_OF_NODES = ("cache/", "wandb/", "logs/tune/", "logs/train/", "logs/heartbeats/", "checkpoints/")
"""Below a run folder: what the nodes put into the storage themselves, and what nobody needs elsewhere."""


class KeptRun:
    """A run's place in a storage, where its driver's folder is mirrored and its trainings keep their state."""

    def __init__(self, folder: RunFolder, url: str) -> None:
        """Raises RequestError where the URL leads nowhere."""
        self._folder, self._storage = folder, Storage(url)
        self._lease = Lease(self._storage)
        effects_first = (
            *(folder.path / ENDS / file.name for file in folder.record_files),
            folder.published_file, folder.access_file, folder.ledger_file, folder.timings_file,
            folder.winners_file, folder.trials_file, folder.baselines_file, folder.started_file, folder.plan_file,
            folder.contest_file, folder.environment_file, folder.request_file,
        )  # fmt: skip
        self._records = frozenset(effects_first)
        self._mirror = Mirror(self._storage, folder.path, effects_first, self._others, self._lease.renew)

    @property
    def url(self) -> str:
        return self._storage.url

    def refuse_other_run(self) -> None:
        """Raises RequestError unless the place can be written, RunFolderError where a run lies there already."""
        self._storage.check()
        if self._storage.read("request.yaml") is not None:
            raise RunFolderError(
                f"{self.url} already holds a run",
                "a new place",
                f"Go on with it: automl resume {self.url}; or choose another name with --out",
            )

    @contextmanager
    def kept(self, note: Callable[[str], None]) -> Iterator[Self]:
        """Mirror the run folder while inside, and once more at the end.

        Raises RunFolderError where another driver has the run, or where the storage is ahead of the folder.
        """
        self._lease.take(note)
        try:
            self._refuse_older_folder()
            with self._answering():
                self._mirror.sync()
            self._mirror.start()
            try:
                yield self
            finally:
                with self._answering():
                    self._mirror.close()
        finally:
            with suppress(OSError):
                self._lease.release()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Raises RunFolderError for what fails inside because the storage does."""
        try:
            yield
        except OSError as problem:
            raise self.lost(problem) from problem

    @property
    def taken_over(self) -> AutoMLError | None:
        """Why this driver has to stop: another one has the run; None while it is its own."""
        problem = self._mirror.problem
        return problem if isinstance(problem, AutoMLError) else None

    def lost(self, problem: Exception) -> RunFolderError:
        """What is to be said where the storage does not answer."""
        return RunFolderError(
            f"{self.url} cannot be reached: {' '.join(str(problem).split())[:300]}",
            "the storage of the run",
            f"When it answers again: automl resume {self._folder.path}",
        )

    def _refuse_older_folder(self) -> None:
        """Raises RunFolderError where another machine has gone on with the run since this folder was written."""
        kept = self._storage.names()
        for file in self._folder.record_files:
            here = file.stat().st_size if file.exists() else 0
            if kept.get(file.name, 0) > here:
                raise RunFolderError(
                    f"{self.url} holds more of {file.name} than {self._folder.path}",
                    "a folder that is not behind its storage",
                    f"Move the folder away, then: automl resume {self.url}",
                )

    def _others(self) -> Iterator[Path]:
        root = self._folder.path
        for directory, below, names in os.walk(root):
            place = Path(directory)
            start = "" if place == root else f"{place.relative_to(root).as_posix()}/"
            below[:] = [one for one in below if not one.startswith(".") and f"{start}{one}/" not in _OF_NODES]
            files = (place / name for name in names if not name.startswith("."))
            yield from (file for file in files if file not in self._records)

    # -- what trainings need, and what they leave ----------------------------------------------------------

    def put_bundle(self, files: Mapping[str, Path]) -> str:
        """The key of files that trainings read, in the storage from now on."""
        return put_bundle(self._storage, files)

    def bundle_here(self, key: str) -> Path:
        return bundle_here(self._storage, key)

    def collect(self, name: str) -> None:
        """Bring a file that a training has left into the run folder."""
        self._mirror.fetch(name)

    def collect_folder(self, name: str) -> None:
        self._mirror.fetch_folder(name)

    def drop_folder(self, name: str) -> None:
        self._mirror.drop_folder(name)

    def forget(self, *files: Path) -> None:
        """Remove what a training had kept for its retry, once its record is in the storage."""
        for file in files:
            self._mirror.drop_later(file.relative_to(self._folder.path).as_posix())

    def forget_ended(self) -> None:
        """Remove what trainings with a record had kept: a crash may come between their record and its removal."""
        ended = {trial.id for trial in self._folder.trials()}
        for place, ending in (("logs/heartbeats", ".json"), ("checkpoints", ".resume.pt")):
            for name in self._storage.names(place):
                if name.endswith(ending) and Path(name).name.removesuffix(ending) in ended:
                    self._mirror.drop_later(name)


_LEFT_THERE = (f"{BUNDLES}/", "checkpoints/", LEASE)
"""Every node fetches the bundles that it needs, a training its checkpoint, and whoever ships a model its weights."""


def holds_kept_run(path: str) -> bool:
    """Whether a path is a run's place in a storage, not a run folder."""
    return is_url(path) or (Path(path) / BUNDLES).is_dir()


def fetch_run(url: str, target: Path) -> None:
    """Bring a kept run's files to this machine, as a run folder that can be gone on with; whole or not at all.

    Raises RunFolderError where no run is kept there, or the folder is taken.
    """
    storage = Storage(url)
    names = storage.names()
    if "request.yaml" not in names:
        raise RunFolderError(
            f"{url} holds no run", "a run's place in a storage", "Name STORAGE/NAME, as given to --storage and --out"
        )
    if target.exists():
        raise RunFolderError(
            f"{target} is there already, and the run of {url} would be brought there",
            "a new folder",
            f"Go on with what is there: automl resume {target}; or move it away",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        place = Path(scratch) / "run"
        for name in names:
            if not name.startswith(_LEFT_THERE):
                storage.get(name, place / name)
        for folder in (RunFolder(place).checkpoints, RunFolder(place).cache, RunFolder(place).heartbeats):
            folder.mkdir(parents=True, exist_ok=True)
        place.rename(target)
