"""A folder's files, kept in a storage by a thread of their own while a run or a training goes on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from automl.storage.place import Storage

PAUSE_SECONDS = 3.0
SHARE = 0.1
"""Of the time at most so much goes into copying; large records are copied more rarely."""

_Stamp = tuple[int, int]


class Mirror:
    """Copies what has changed below a folder, every few seconds and when told to.

    records: files whose order tells causes from effects, the effects first. They are opened in this order and put
    in the opposite one, each as long as it was then: so no copy ever holds an effect without its cause.
    others: files that are put before them.
    """

    def __init__(
        self,
        storage: Storage,
        root: Path,
        records: Iterable[Path],
        others: Callable[[], Iterable[Path]],
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """before: called at the start of every round, from its thread; what it raises ends the mirror."""
        self._storage, self._root, self._records, self._others = storage, root, tuple(records), others
        self._before = before
        self._stamps: dict[Path, _Stamp] = {}
        self._drops: list[str] = []
        self._one_at_a_time = threading.RLock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.problem: Exception | None = None
        """Why the last round failed; the next one tries again."""

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def close(self, last_round: bool = True) -> None:
        """End the thread, after a last round. Raises what that round raised."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if last_round:
            self.sync()

    def sync(self) -> None:
        """Copy now what has changed. Raises OSError where the storage does not take it."""
        with self._one_at_a_time, ExitStack() as stack:
            self._before()
            drops = list(self._drops)
            opened = []
            for file in self._records:
                with suppress(FileNotFoundError):
                    handle = stack.enter_context(open(file, "rb"))
                    opened.append((file, handle, os.fstat(handle.fileno())))
            for file in self._others():
                with suppress(FileNotFoundError):  # gone since it was listed
                    state = file.stat()
                    if self._changed(file, state):
                        self._storage.put(file, self._name(file))
                        self._stamps[file] = _stamp(state)
            for file, handle, state in reversed(opened):
                if self._changed(file, state):
                    self._storage.put_from(handle, self._name(file), state.st_size)
                    self._stamps[file] = _stamp(state)
            for file in [file for file in self._stamps if not file.exists()]:
                self._storage.drop(self._name(file))
                del self._stamps[file]
            for name in drops:  # only now: what made them needless is in the records
                self._storage.drop(name)
            del self._drops[: len(drops)]

    def fetch(self, name: str) -> bool:
        """Bring a file that another machine has put into the storage; whether there was one."""
        file = self._root / name
        with self._one_at_a_time:
            found = self._storage.get(name, file)
            if found:
                self._stamps[file] = _stamp(file.stat())
        return found

    def fetch_folder(self, name: str) -> None:
        for file in self._storage.names(name):
            self.fetch(file)

    def drop_folder(self, name: str) -> None:
        """Remove a folder of the storage, whether or not it is here."""
        self._storage.drop_folder(name)

    def drop_later(self, name: str) -> None:
        """Remove a file from the storage once the records of now are there."""
        with self._one_at_a_time:
            self._drops.append(name)

    def _run(self) -> None:
        pause = PAUSE_SECONDS
        while not self._wake.wait(pause) and not self._closing:
            started = time.monotonic()
            try:
                self.sync()
                self.problem = None
            except Exception as problem:  # a network that fails for a while must not end what it only copies
                self.problem = problem
            pause = max(PAUSE_SECONDS, (time.monotonic() - started) * (1 / SHARE - 1))

    def _name(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()

    def _changed(self, file: Path, state: os.stat_result) -> bool:
        return self._stamps.get(file) != _stamp(state)


def _stamp(state: os.stat_result) -> _Stamp:
    return state.st_mtime_ns, state.st_size
