"""Records chained by hash: every line carries the SHA-256 of the line before it and of itself.

A changed, lost, added or moved line breaks the chain at its place. Lines cut from the end break nothing, so the end
is noted beside the file (`note_end`). It is no signature: whoever writes a whole file anew can chain it anew, which
is why the board keeps where each chain stood (`seals`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CHAIN = "chain"
ENDS = ".ends"
"""The folder beside the records that holds where each of them ends."""
_BLOCK_BYTES = 1 << 16


def canonical(value: Mapping[str, Any]) -> str:
    """The one text of a JSON object: keys sorted, no spaces, without its chain."""
    content = {key: one for key, one in value.items() if key != CHAIN}
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def link(previous: str, value: Mapping[str, Any]) -> str:
    """The chain of a line that follows `previous`. The first line of a file follows the file's name."""
    return hashlib.sha256(f"{previous}\n{canonical(value)}".encode("utf-8", "surrogatepass")).hexdigest()


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as it will be read back: tuples become lists. Raises ValueError where JSON has no word for it."""
    read_back: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return read_back


def chained(file_name: str, value: Mapping[str, Any], last: Mapping[str, Any] | None) -> dict[str, Any]:
    """A plain value with its chain, to be written after the line `last`."""
    return {**value, CHAIN: link(file_name if last is None else chain_of(last), value)}


def chain_of(line: Mapping[str, Any]) -> str:
    """What the next line follows. A line of an older version has no chain: its own content is followed."""
    told = line.get(CHAIN)
    return told if isinstance(told, str) else link("", line)


def parse(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None where it holds none, as when a crash cut it off."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def last_line(file: BinaryIO) -> dict[str, Any] | None:
    """The last whole line, read from the end, however long the file is; None where there is none."""
    end = file.seek(0, os.SEEK_END)
    tail, start = b"", end
    while start > 0:
        start = max(0, start - max(_BLOCK_BYTES, len(tail)))
        file.seek(start)
        tail = file.read(end - start)
        lines = tail.split(b"\n")
        for line in reversed(lines[0 if start == 0 else 1 :]):
            found = parse(line)
            if found is not None:
                return found
    return None


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """One thing about a line. edited: whether it is a fault, or only what a crash or an older version left."""

    line: int
    what: str
    edited: bool


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A file of records as it was read. lines: (line number from 1, value) of every whole line.

    links: the chain after every whole line; sound up to the first edited one.
    """

    lines: tuple[tuple[int, dict[str, Any]], ...]
    links: tuple[str, ...]
    flaws: tuple[Flaw, ...]

    @property
    def edits(self) -> tuple[Flaw, ...]:
        return tuple(flaw for flaw in self.flaws if flaw.edited)

    @property
    def is_chained(self) -> bool:
        return any(CHAIN in value for _, value in self.lines)


def read_chain(path: Path) -> Chain:
    """Every whole line of a file, with what is wrong with its chain; empty where there is no file."""
    raw = path.read_bytes().split(b"\n") if path.exists() else []
    lines: list[tuple[int, dict[str, Any]]] = []
    links: list[str] = []
    flaws: list[Flaw] = []
    unread: list[int] = []
    begun = False  # no line without a chain may follow one with it
    for number, text in enumerate(raw, start=1):
        if not text.strip():
            continue
        value = parse(text)
        if value is None:
            unread.append(number)
            continue
        previous = chain_of(lines[-1][1]) if lines else path.name
        flaw = _flaw(number, value, previous, begun, text)
        if flaw is not None and unread:
            # what follows a line that a crash cut off follows the whole line before it; else it was whole once
            flaws += [Flaw(line=place, what="is no JSON any more: it was edited", edited=True) for place in unread]
        elif flaw is not None:
            flaws.append(flaw)
        else:
            flaws += [_cut_off(place) for place in unread]
        unread = []
        begun = begun or CHAIN in value
        lines.append((number, value))
        links.append(chain_of(value))
    flaws += [_cut_off(place) for place in unread]
    return Chain(lines=tuple(lines), links=tuple(links), flaws=tuple(flaws))


def _flaw(number: int, value: Mapping[str, Any], previous: str, begun: bool, text: bytes) -> Flaw | None:
    told = value.get(CHAIN)
    if told is None:
        return Flaw(line=number, what="has lost its chain: it was edited or added", edited=True) if begun else None
    if _repeats_a_key(text):
        return Flaw(line=number, what="says a field twice: it was edited", edited=True)
    if told == link(previous, value):
        return None
    what = "does not fit its chain: it was edited, or lines before it were removed, added or moved"
    return Flaw(line=number, what=what, edited=True)


def _cut_off(number: int) -> Flaw:
    return Flaw(line=number, what="a line cut off by a crash", edited=False)


def _repeats_a_key(text: bytes) -> bool:
    """Of a field said twice a reader takes the last, and a person sees the first."""
    repeated = False

    def noticing(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        repeated = repeated or len({key for key, _ in pairs}) < len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=noticing)
    return repeated


def note_end(path: Path, last: Mapping[str, Any] | None, line: Mapping[str, Any]) -> None:
    """Keep which line is the last one, after `line` was added behind `last`.

    A note whose line is gone stays, so that nothing written later covers the loss. Where the note cannot be written
    it is of an earlier line, which hides less, not more.
    """
    told = _noted_end(path)
    if told and (last is None or told != chain_of(last)) and end_was_cut(path, read_chain(path)):
        return
    note = path.parent / ENDS / path.name
    with contextlib.suppress(OSError):  # the record itself is safe on disk, and counts
        note.parent.mkdir(exist_ok=True)
        temporary = note.with_name(f"{note.name}.{os.getpid()}")
        temporary.write_text(chain_of(line), encoding="utf-8")
        os.replace(temporary, note)


def end_was_cut(path: Path, chain: Chain) -> bool:
    """Whether the noted last line of a file is not in it any more."""
    told = _noted_end(path)
    return bool(told) and told not in chain.links


def _noted_end(path: Path) -> str:
    note = path.parent / ENDS / path.name
    return note.read_text(encoding="utf-8", errors="replace").strip() if note.exists() else ""


def seals(*paths: Path) -> dict[str, dict[str, Any]]:
    """Where each file stands now, {"name": {"lines", "chain"}}: so lines cut from its end are missed later."""
    found = {}
    for path in paths:
        chain = read_chain(path)
        if chain.lines:
            found[path.name] = {"lines": len(chain.lines), CHAIN: chain.links[-1]}
    return found
