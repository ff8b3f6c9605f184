"""Whether others kept this machine's cores busy while something was timed on it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOTICEABLE_CORES = 0.25
"""What others hold beyond the cores that are free for them before a latency counts as disturbed."""
TICK_SECONDS = 0.02
"""The system counts in hundredths of a second for each of its two readings; less than this proves nothing."""
OVERLOADED = 1.5
"""Where the system does not say who held its cores: a load average of so many times them. What was trained here
just before fills about all of them, and still shows in it."""
_NOT_BUSY = (3, 4)  # idle and waiting for a disk, in a line of /proc/stat


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Seconds since some moment: of the wall, of all cores by anybody (None where unknown), by this process."""

    wall: float
    busy: float | None
    own: float


def read_now(stat: Path = Path("/proc/stat")) -> Reading:
    return Reading(wall=time.perf_counter(), busy=_busy_seconds(stat), own=time.process_time())


def _busy_seconds(stat: Path) -> float | None:
    """CPU-seconds that all programs together have had, and those that a host gave to others."""
    try:
        ticks = [int(field) for field in stat.read_text().split("\n", 1)[0].split()[1:9]]
        return sum(n for place, n in enumerate(ticks) if place not in _NOT_BUSY) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):  # not Linux
        return None


def load_between(
    before: Reading, after: Reading, threads: int, cores: int, load_average: float | None
) -> dict[str, Any]:
    """{"busy", "cores", "others_cores", "load_average"}: whether others were in the way of `threads` threads.

    others_cores: how many cores programs other than this one held on average, None where the system does not say;
    then the load average decides.
    """
    wall = max(after.wall - before.wall, 1e-9)
    spent = None if before.busy is None or after.busy is None else after.busy - before.busy
    own = after.own - before.own
    others = None
    # a system that shows no time at all although this process had some (a sandbox) does not count it
    if spent is not None and (spent > 0 or own < TICK_SECONDS):
        others = max(spent - own, 0.0) / wall
        free = max(cores - threads, 0)
        busy = others - TICK_SECONDS / wall > free + NOTICEABLE_CORES
    else:
        busy = load_average is not None and load_average > OVERLOADED * cores
    return {
        "busy": busy,
        "cores": cores,
        "others_cores": None if others is None else round(others, 2),
        "load_average": None if load_average is None else round(load_average, 2),
    }


def load_since(before: Reading, threads: int) -> dict[str, Any]:
    """What `load_between` tells of the time since a reading."""
    try:
        average = os.getloadavg()[0]
    except (OSError, AttributeError):  # Windows has none
        average = None
    return load_between(before, read_now(), threads, os.cpu_count() or 1, average)
