"""One driver at a time owns a run that is kept in a storage, on whichever machine it runs."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any

from automl.errors import RunFolderError
from automl.storage.place import Storage

LEASE = "driver.json"
LEASE_SECONDS = 20.0
"""A driver that has not renewed its lease for so long is dead; the mirror renews it every few seconds."""


class Lease:
    """A file in the storage that its holder changes again and again.

    No clocks are compared: a newcomer watches whether the file changes within LEASE_SECONDS of its own time.
    """

    def __init__(self, storage: Storage, wait: Callable[[float], None] = time.sleep) -> None:
        self._storage, self._wait = storage, wait
        self._holder = uuid.uuid4().hex
        self._beat = 0

    def take(self, note: Callable[[str], None] = lambda text: None) -> None:
        """Become the holder. Raises RunFolderError where another driver is alive."""
        found = self._read()
        if found is not None:
            where = f"the driver on {found.get('host')} (process {found.get('process')})"
            note(f"waiting {LEASE_SECONDS:.0f} s for a sign of life of {where}, which did not take leave")
            for _ in range(round(LEASE_SECONDS)):
                self._wait(1.0)
                seen = self._read()
                if seen is None:
                    break
                if seen != found:
                    raise self._taken(seen)
        self._write()

    def renew(self) -> None:
        """Show that the holder lives. Raises RunFolderError where another driver has taken over meanwhile."""
        found = self._read()
        if found is not None and found.get("holder") != self._holder:
            raise self._taken(found)
        self._write()

    def release(self) -> None:
        found = self._read()
        if found is not None and found.get("holder") == self._holder:
            self._storage.drop(LEASE)

    def _read(self) -> dict[str, Any] | None:
        content = self._storage.read(LEASE)
        return None if content is None else json.loads(content)

    def _write(self) -> None:
        self._beat += 1
        told = {"holder": self._holder, "beat": self._beat, "host": socket.gethostname(), "process": os.getpid()}
        self._storage.put_bytes(json.dumps(told).encode(), LEASE)

    def _taken(self, by: dict[str, Any]) -> RunFolderError:
        return RunFolderError(
            f"{self._storage.url} is in use by the driver on {by.get('host')} (process {by.get('process')})",
            "one driver at a time",
            "Wait for it, or stop it",
        )
