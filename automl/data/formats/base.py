"""What a file format is to the rest: a new one is one new file in this folder, or a plug-in's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError
from automl.registry import parts

_HEAD_BYTES = 1 << 16


class Format(ABC):
    """One way in which a file holds rows.

    name: what people call it. endings: in lower case. beginnings: first bytes that no other format has.
    takes: the options of ReadOptions that mean something to it.
    """

    name: str
    endings: tuple[str, ...]
    beginnings: tuple[bytes, ...] = ()
    takes: tuple[str, ...] = ()

    @abstractmethod
    def read(self, path: Path, options: ReadOptions) -> Rows:
        """All rows of the file. Raises DataError in three parts where it is not what it should be."""

    def claims(self, head: bytes) -> bool:
        """Whether a file of no known ending, which begins so, is of this format."""
        return head.startswith(self.beginnings) if self.beginnings else False


def formats() -> dict[str, Format]:
    return parts("automl.data.formats", Format)  # type: ignore[type-abstract]


def endings() -> tuple[str, ...]:
    """Every ending that is read."""
    return tuple(ending for format in formats().values() for ending in format.endings)


def read_file(path: Path, options: ReadOptions) -> Rows:
    """The rows of one file: by its first bytes where these are beyond doubt, then by its ending, then by its content.

    Raises DataError where it cannot be read, and where an option is given that means nothing to its format.
    """
    try:
        format = _format_of(path)
        useless = [name for name in options.given if name not in format.takes]
        if useless:
            raise DataError(
                f"--{useless[0]} is given, but {path} is {format.name}",
                f"options that mean something to it: {', '.join('--' + name for name in format.takes) or 'none'}",
                f"Leave --{useless[0]} out",
            )
        return format.read(path, options)
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened: {error.strerror or error}", "a file that may be read", "Check its rights"
        ) from None


def _format_of(path: Path) -> Format:
    known = formats()
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    ending = path.suffix.lower()
    by_ending = next((format for format in known.values() if ending in format.endings), None)
    by_bytes = next((format for format in known.values() if format.beginnings and format.claims(head)), None)
    if found := by_bytes or by_ending or next((format for format in known.values() if format.claims(head)), None):
        return found
    raise DataError(
        f"{path} has the unknown ending {ending!r}" if ending else f"{path} has no ending",
        f"one of {', '.join(endings())}",
        "Rename the file to what it is, or export the table as CSV",
    )
