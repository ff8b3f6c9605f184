"""Every error that automl raises on purpose.

AutoMLError                 has an exit code and a message in three parts: found, expected, what to do
├── UserError               exit 2: the user can mend it
│   ├── RequestError        an option, a YAML field, or several of them together
│   ├── DataError           the data cannot be read or learnt from
│   ├── CheckpointError     a model name that leads to no usable weights
│   ├── SpaceError          a search-space file that is not right
│   ├── RunFolderError      the run folder is another run's, locked, or incomplete
│   ├── ClusterError        a cluster cannot be reached, refuses, or does not know a job
│   ├── DiskFull            the disk has no room: a run was paused, and what was finished is kept, or none was begun
│   └── MissingExtra        an optional package is not installed
└── InternalError           exit 3: ours; a log is written
    └── SealedTest          something asked for test labels before the winners were fixed
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full_disk(problem: BaseException) -> bool:
    """Whether something failed for want of disk space. Libraries in other languages tell it by their text alone."""
    if isinstance(problem, OSError) and problem.errno in _FULL:
        return True
    text = str(problem)
    return "No space left on device" in text or "Disk quota exceeded" in text


def one_line(problem: BaseException) -> str:
    """What failed, for a record: our own message, or the name and the first two sentences of another's.

    What libraries say beyond that, and what holds an address, is advice or advertisement that does not fit here.
    """
    text = " ".join(str(problem).split())
    if isinstance(problem, AutoMLError):
        return text[:1000]
    said = [sentence for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", text)[:2] if "://" not in sentence]
    return f"{type(problem).__name__}: {' '.join(said)}"[:1000].rstrip(": ")


class AutoMLError(Exception):
    """An error whose message says what was found, what was expected, and what to do."""

    exit_code = 3

    def __init__(self, found: str, expected: str = "", todo: str = "") -> None:
        self.found, self.expected, self.todo = found, expected, todo
        super().__init__(found, expected, todo)

    def __str__(self) -> str:
        head = "; ".join(part.strip().rstrip(".;") for part in (self.found, self.expected) if part)
        end = "" if head.endswith(("?", "!")) else "."
        return f"{head}{end} {self.todo}".strip()


class UserError(AutoMLError):
    exit_code = 2


class RequestError(UserError):
    """One or more options are wrong; `problems` lists them all, so that a user mends them in one go."""

    def __init__(self, found: str, expected: str = "", todo: str = "", *, problems: Sequence[str] = ()) -> None:
        super().__init__(found, expected, todo)
        self.problems = tuple(problems)


class DataError(UserError):
    """`several`: the errors that this one lists, where it stands for more than one."""

    def __init__(self, found: str, expected: str = "", todo: str = "", *, several: Sequence[DataError] = ()) -> None:
        super().__init__(found, expected, todo)
        self.several = tuple(several)


class CheckpointError(UserError):
    pass


class SpaceError(UserError):
    pass


class RunFolderError(UserError):
    pass


class ClusterError(UserError):
    pass


class DiskFull(UserError):
    @classmethod
    def of(cls, run: Path | str) -> DiskFull:
        return cls(
            f"the disk of {run} is full; the run is paused, and what was finished is kept",
            "room for its records, checkpoints and models",
            f"Free some space, then go on with: automl resume {run}",
        )

    @classmethod
    def at_the_start(cls, place: Path | str) -> DiskFull:
        return cls(
            f"the disk of {place} is full; nothing was begun, and nothing is left there",
            "room for the prepared data",
            "Free some space, or choose another place with --out, then start again",
        )


class MissingExtra(UserError):
    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtra:
        return cls(
            f"the package {package!r} is not installed",
            f"{purpose} needs it",
            f"Install it with: pip install 'automl[{extra}]'",
        )


class InternalError(AutoMLError):
    exit_code = 3


class SealedTest(InternalError):
    pass
