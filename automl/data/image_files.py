"""The image files that a column names: where a name says, or else where a file of that name lies below the table.

Tables come from other machines: with a folder or an ending left out, backslashes, other case, or absolute paths.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from automl.data.columns import as_text
from automl.data.images import ENDINGS, UNREAD_ENDINGS

MOST_FILES = 500_000
"""So many entries below a table's folder are looked at for a name; what lies beyond them is not found."""
_RUN_FOLDER = "request.yaml"
ADDRESS = r"^(file|https?|s3|gs|gcs|abfs|az|hf)://"


class Index:
    """The image files below a folder, by what a table may call them. Walked through at the first question."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.complete = True

    @cached_property
    def _files(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Paths by name, and by name without ending, both in one spelling."""
        names: dict[str, list[str]] = {}
        stems: dict[str, list[str]] = {}
        for path in self._walk():
            name = PurePosixPath(path).name
            names.setdefault(_spelt(name), []).append(path)
            stems.setdefault(_spelt(_stem(name)), []).append(path)
        return names, stems

    @cached_property
    def _numbered(self) -> dict[str, list[str]]:
        """Paths by a name that is a number, without its leading zeros, which a column of numbers lost."""
        found: dict[str, list[str]] = {}
        for stem, paths in self._files[1].items():
            if stem.isdecimal():
                found.setdefault(stem.lstrip("0") or "0", []).extend(paths)
        return found

    def _walk(self) -> Iterator[str]:
        seen, looked_at = set(), 0
        for place, folders, files in os.walk(self.folder, followlinks=True):
            real = os.path.realpath(place)
            if real in seen or _RUN_FOLDER in files:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
            for name in sorted(files):
                looked_at += 1
                ending = os.path.splitext(name)[1].lower()
                if not name.startswith(".") and (not ending or ending in ENDINGS or ending in UNREAD_ENDINGS):
                    yield os.path.join(place, name)
            if looked_at > MOST_FILES:
                self.complete = False
                return

    @property
    def size(self) -> int:
        return sum(map(len, self._files[0].values()))

    def examples(self, count: int = 3) -> list[str]:
        """Some files that are there, by their paths below the folder."""
        paths = [path for paths in self._files[0].values() for path in paths][:count]
        return [os.path.relpath(path, self.folder) for path in paths]

    def named(self, name: str, among: frozenset[str] = frozenset()) -> list[str]:
        """The files that a name may mean, those that share the most of its folders; one where it is beyond doubt.

        among: folders to choose from where several files are called so.
        """
        *folders, last = [part for part in name.split("/") if part not in ("", ".", "..")] or [""]
        names, stems = self._files
        found = names.get(_spelt(last)) or stems.get(_spelt(last))
        if not found and _stem(last) != last:
            found = stems.get(_spelt(_stem(last)))
        if not found and last.isdecimal():
            found = self._numbered.get(last.lstrip("0") or "0")
        found = self._closest(found or [], [_spelt(folder) for folder in folders])
        if len(found) > 1:
            preferred = [path for path in found if among.intersection(self._folders_of(path))]
            found = preferred or found
        return found

    def _folders_of(self, path: str) -> list[str]:
        return [_spelt(part) for part in PurePosixPath(os.path.relpath(path, self.folder)).parts[:-1]]

    def _closest(self, paths: Sequence[str], folders: Sequence[str]) -> list[str]:
        shared = [_shared_end(self._folders_of(path), folders) for path in paths]
        most = max(shared, default=0)
        return [path for path, count in zip(paths, shared, strict=True) if count == most]


def _spelt(name: str) -> str:
    """A name in one spelling, whatever its case and however its accents are written."""
    return unicodedata.normalize("NFC", name).casefold()


def _stem(name: str) -> str:
    """The name without the ending of an image; a point in a name may be no ending."""
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in ENDINGS or ending.lower() in UNREAD_ENDINGS else name


def _shared_end(first: Sequence[str], second: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        count += 1
    return count


def _spellings(value: str) -> Iterator[str]:
    """The value as a path, then as one that another system or an address would have written."""
    yield value
    plain = urlsplit(value).path if re.match(ADDRESS, value) else value
    forward = plain.replace("\\", "/")
    if forward != value:
        yield forward
    if "%" in forward:
        yield unquote(forward)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The files of a column. paths: absolute; of what is not there, where it would lie by its name.

    by_name: how many lie elsewhere than the table says. missing: why, by row, for those that are nowhere.
    example: a value and its file, of those found by name.
    """

    paths: pa.ChunkedArray
    folder: Path
    by_name: int = 0
    example: tuple[str, str] | None = None
    missing: dict[int, str] = field(default_factory=dict)

    def sentence(self, column: str) -> str:
        """What was found by name, in one line."""
        assert self.example is not None
        value, path = self.example
        return (
            f"{self.by_name:,} of {len(self.paths):,} images that {column!r} names were found by their names below "
            f"{self.folder}, such as {path} for {value!r}"
        )


def find_images(
    column: pa.ChunkedArray, folder: Path, among: Iterable[str] = (), index: Index | None = None
) -> Found:
    """Where the files lie that a column names, relative to a folder or below it.

    among: names of folders that go before others, where several files below are called alike. index: of the same
    folder, where there is one already.
    """
    base = folder.expanduser().absolute()
    index = index or Index(base)
    preferred = frozenset(_spelt(name) for name in among)
    paths: list[str | None] = []
    missing: dict[int, str] = {}
    by_name, example = 0, None
    for row, value in enumerate(as_text(column).to_pylist()):
        text = (value or "").strip()
        path, elsewhere, reason = _find(text, base, index, preferred)
        paths.append(path)
        if reason is not None:
            missing[row] = reason
        if elsewhere:
            by_name += 1
            example = example or (text, str(path))
    return Found(
        paths=pa.chunked_array([pa.array(paths, pa.string())]),
        folder=base,
        by_name=by_name,
        example=example,
        missing=missing,
    )


def _find(text: str, base: Path, index: Index, among: frozenset[str]) -> tuple[str | None, bool, str | None]:
    """A value's path, whether it is found by its name alone, and why it is nowhere."""
    if not text:
        return None, False, "there is no path"
    plain = str(base / text)
    spellings = list(_spellings(text))
    for spelling in spellings:
        if os.path.isfile(path := base / spelling):
            return str(path), spelling != text, None
    if os.path.lexists(plain):
        return plain, False, "a folder" if os.path.isdir(plain) else "a link that leads nowhere"
    for spelling in spellings[::-1]:
        found = index.named(spelling, among)
        if len(found) == 1:
            return found[0], True, None
        if found:
            several = " and ".join(os.path.relpath(path, base) for path in found[:3])
            return plain, False, f"{len(found)} files below {base} are called so: {several}"
    if re.match(ADDRESS, text):
        return plain, False, "an address, from which nothing is downloaded"
    return plain, False, f"no such file, and none of that name below {base}"


def absolute_paths(column: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
    """Paths made absolute; a relative one counts from the folder. No file is looked for."""
    base = folder.expanduser().absolute()
    paths = (str(base / text) if (text := (value or "").strip()) else None for value in as_text(column).to_pylist())
    return pa.chunked_array([pa.array(paths, pa.string())])
