"""Rows of the data that the report quotes: test inputs that the best contenders get wrong with confidence, and
training inputs as they were and as they were varied.

Nothing else of the house shows a data row; the report says in its head that it does (see report.html).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from automl.data.images import thumbnail
from automl.data.levels import Levels
from automl.data.prepared import read_part
from automl.leaderboard.board import Leaderboard
from automl.leaderboard.mistakes import Mistake
from automl.leaderboard.store import RunFolder
from automl.pages.page import cut
from automl.types import Schema

_CONTENDERS = 3
_OF_PICTURES = "image-"
"""So begin the names of tasks whose inputs are paths of pictures."""


@dataclass(frozen=True, kw_only=True)
class Quoted:
    """One input of a row: its column, its text cut short, and a thumbnail as a data URI where it is a picture."""

    column: str
    text: str
    thumbnail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    """row: its number in the source file, from 0. wrong: '5 of 5'. sure: mean percent of confidence."""

    row: int
    inputs: tuple[Quoted, ...]
    true: str
    called: str
    wrong: str
    sure: str


def examples(folder: RunFolder, board: Leaderboard, scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By contender of the best rank, up to three: its confident mistakes, and whether their inputs are pictures.

    Empty where the test's inputs were cleared away, or nothing is often wrong. Reads inputs, never labels:
    those of the rows shown were written down when the test was scored.
    """
    ranked = [row for row in board.rows if row.kind == "contender" and row.status == "ok"]
    best = [row.contender for row in ranked if row.tie_group == ranked[0].tie_group][:_CONTENDERS]
    told = {one["contender"]: one.get("mistakes") or [] for one in scores["rows"] if one["kind"] == "contender"}
    mistakes = {name: [Mistake(**one) for one in told[name]] for name in best if told.get(name)}
    if not mistakes or not (folder.data / "test.arrow").exists():
        return []
    test, classes, schema = read_part(folder.data, "test"), scores["classes"], folder.read_contest()["schema"]
    pictured = schema["task"].startswith(_OF_PICTURES)
    quote = partial(_picture, levels=Schema.from_json(schema).levels) if pictured else _text
    columns = [column for column in schema["inputs"] if column in test.column_names]
    found = []
    for name, own in mistakes.items():
        taken = test.take([one.place for one in own]).to_pylist()
        inputs = [tuple(quote(column, values[column]) for column in columns) for values in taken]
        rows = [
            _example(values["row"], shown, one, classes)
            for values, shown, one in zip(taken, inputs, own, strict=True)
        ]
        found.append({"name": name, "rows": rows, "pictures": pictured})
    return found


def varied_examples(folder: RunFolder) -> dict[str, Any] | None:
    """What varied.json holds, in words and with marks: texts as pieces (kind, text), kind 'same', 'out' or 'in'.

    None where no training varied its inputs.
    """
    if not folder.varied_file.exists():
        return None
    told: dict[str, Any] = json.loads(folder.varied_file.read_text(encoding="utf-8"))
    pictures = folder.read_contest()["schema"]["task"].startswith(_OF_PICTURES)
    for row in told["rows"]:
        for one in row["inputs"]:
            if not pictures:
                one["pieces"] = marked(one["before"], one["after"])
    return {**told, "pictures": pictures, "recipe": [f"{name} {value}" for name, value in told["recipe"].items()]}


def marked(before: str, after: str, longest: int = 560) -> list[tuple[str, str]]:
    """What became of a text, word by word: pieces that are the 'same', went 'out' or came 'in'."""
    old, new = before.split(), after.split()
    pieces: list[tuple[str, str]] = []
    for kind, start, end, first, last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        room = longest - sum(len(text) for _, text in pieces)
        if room <= 0:
            break
        if kind == "equal":
            pieces.append(("same", cut(" ".join(old[start:end]), room)))
            continue
        pieces += [("out", cut(" ".join(old[start:end]), room))] if end > start else []
        pieces += [("in", cut(" ".join(new[first:last]), room))] if last > first else []
    return pieces


def _example(row: int, inputs: tuple[Quoted, ...], one: Mistake, classes: Sequence[str]) -> Example:
    return Example(
        row=row,
        inputs=inputs,
        true=classes[one.true],
        called=classes[one.called],
        wrong=f"{one.wrong} of {one.trainings}",
        sure=f"{one.confidence * 100:.0f}",
    )


def _text(column: str, value: object) -> Quoted:
    return Quoted(column=column, text=cut(value))


def _picture(column: str, value: object, levels: Levels | None = None) -> Quoted:
    """The picture, and the name of its file; the folders above it are this machine's alone."""
    path = Path(str(value))
    return Quoted(column=column, text=cut(path.name), thumbnail=thumbnail(str(path), levels=levels))
