"""Which columns are the target and the inputs, and which task that makes; always with the reason."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from automl.data.columns import Column
from automl.data.part_words import says_parts
from automl.errors import DataError, RequestError

MOST_CLASSES = 1000
TASKS = {
    "text-classification": "text with a few classes",
    "image-classification": "pictures with a few classes",
    "image-regression": "pictures with a number",
    "text-regression": "text with a number",
    "multi-label-classification": "several classes for each row",
    "tabular-classification": "columns with a few classes",
    "tabular-regression": "columns with a number",
    "token-classification": "a list of tags for each list of tokens",
    "seq2seq": "text with a text",
    "object-detection": "pictures with boxes",
    "chat": "turns of a conversation",
}
TARGETS = (
    "label", "labels", "target", "class", "category", "y", "intent", "sentiment", "ner_tags", "tags",
    "boxes", "output", "summary", "score", "stars", "rating", "feedback", "answer", "completion", "topic",
)  # fmt: skip
_TEXTS = (
    "text", "sentence", "review", "reviews", "comment", "message", "tweet", "content", "question", "tokens",
    "dialogue", "document", "article", "body", "description", "instruction", "prompt", "utterance", "query",
    "input", "source", "title",
)  # fmt: skip
_LIKE_TARGET = re.compile(r"(target|label|class)[_. ]|.*[_. ](label|target|class)$", re.IGNORECASE)
_NO_TARGET = re.compile(
    r"[_. ](id|ids|count|confidence|prob|probability|source|split|date|time|url|annotators?)$", re.IGNORECASE
)
_CLASS_NAME = re.compile(r"(^|[_. ])(labels?|class|category|intent|topic|target)([_. ]|$)", re.IGNORECASE)
_MOST_DATES = 20
_TURNS = ("messages", "conversations", "conversation", "dialog", "turns")
_PAIRS = (
    ("premise", "hypothesis"), ("question", "sentence"), ("query", "passage"), ("query", "document"),
    ("question", "answer"), ("question", "context"), ("instruction", "input"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What the columns are for. target and task are None where nothing fits."""

    target: str | None
    inputs: tuple[str, ...]
    task: str | None
    target_reason: str
    inputs_reason: str
    task_reason: str


def find_column(name: str, names: Sequence[str], option: str, source: str) -> str:
    """The column as the file spells it. Raises DataError with the near miss and the columns there are."""
    if name in names:
        return name
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    spelled = next((n for n in names if near and n.lower() == near[0]), None)
    listed = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
    raise DataError(
        f"{source} has no column {name!r}" + (f"; did you mean {spelled!r}?" if spelled else ""),
        f"one of its columns: {listed}",
        f"Name it with {option}",
    )


def named_texts(names: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that --text names; commas that stand in a column's own name part no two.

    Raises RequestError for more than two.
    """
    found, rest = [], list(names)
    own = {tuple(part.strip() for part in column.split(",") if part.strip()): column for column in columns}
    while rest and not set(rest) <= set(columns):
        size = next((size for size in range(len(rest), 1, -1) if tuple(rest[:size]) in own), 1)
        found.append(own[tuple(rest[:size])] if size > 1 else rest[0])
        rest = rest[size:]
    found += rest
    if len(found) > 2:
        raise RequestError(
            f"--text names {len(found)} columns: {', '.join(found)}",
            "one column, or two",
            "Change --text; a name that holds a comma stands in quotation marks",
        )
    return tuple(found)


def guess_roles(
    columns: Sequence[Column],
    rows: int,
    target: str | None,
    text: Sequence[str] | None,
    image: tuple[str, str] | None = None,
) -> Roles:
    """Target, inputs and task; what the user named stands as it is. image: the column of pictures, and why."""
    by_name = {column.name: column for column in columns}
    turns = next((c.name for c in columns if c.kind == "list" and c.name.lower() in _TURNS), None)
    if turns is not None and target is None and text is None and image is None:
        why = "each conversation is its own target"
        return Roles(
            target=None, inputs=(turns,), task="chat", target_reason=why,
            inputs_reason="its name says so", task_reason=f"{turns!r} holds the turns of conversations",
        )  # fmt: skip
    target_reason = "named with --target"
    if target is None:
        target, target_reason = _guess_target(columns, rows, {*(text or ()), *(image or ())[:1]})
    inputs_reason = "named with --text"
    inputs: tuple[str, ...]
    if image is not None:
        inputs, inputs_reason = (image[0],), image[1]
    elif text is not None:
        inputs = tuple(text)
    else:
        inputs, inputs_reason = _guess_inputs(columns, by_name.get(target or ""))
    task, task_reason = guess_task(by_name.get(target or ""), [by_name[name] for name in inputs], rows)
    return Roles(
        target=target,
        inputs=inputs,
        task=task,
        target_reason=target_reason,
        inputs_reason=inputs_reason,
        task_reason=task_reason,
    )


def is_classes(column: Column, rows: int) -> bool:
    """Whether a column's values can be classes: few, coming back, and no measured numbers."""
    if column.kind in ("empty", "list", "bytes", "constant") or column.distinct > MOST_CLASSES:
        return False
    present = rows - column.missing
    if column.kind == "date":
        return not _is_mere_date(column) and present >= 2 * column.distinct
    if column.kind in ("number", "id"):
        if not column.whole:
            return column.distinct <= 10
        if _CLASS_NAME.search(column.name) and present >= 5 * column.distinct:
            return True  # numbers of classes, of which some may be missing
        counted = column.low in (0.0, 1.0) and (column.high or 0) - (column.low or 0) + 1 == column.distinct
        return column.distinct <= 20 or (counted and present >= 5 * column.distinct)
    return column.distinct <= 2 or present >= 2 * column.distinct


def named_targets(columns: Sequence[Column], taken: Collection[str]) -> list[Column]:
    """The columns that are named as targets are, the likeliest first."""
    free = [c for c in columns if c.name not in taken and c.kind not in ("empty", "id") and not _is_mere_date(c)]
    named = [c for name in TARGETS for c in free if c.name.lower() == name]
    return named + [c for c in free if _LIKE_TARGET.match(c.name) and not _is_of_a_target(c) and c not in named]


def _guess_target(columns: Sequence[Column], rows: int, taken: set[str]) -> tuple[str | None, str]:
    named = named_targets(columns, taken)
    if named:
        # a summary beside a score: of a text nothing can be learnt here
        classes = [c for c in named if is_classes(c, rows)] if named[0].kind == "text" else []
        column = (classes or named)[0]
        return column.name, f"its name says so ({_shape(column)})"
    free = [c for c in columns if c.name not in taken and c.kind not in ("empty", "date") and not _is_of_a_target(c)]
    free = [c for c in free if not (c.kind in ("number", "boolean") and says_parts(c.name))]
    classes = [c for c in free if c.kind not in ("constant", "part") and is_classes(c, rows)]
    if any(c.kind in ("text", "list", "image", "numbers") for c in columns):
        if classes:
            fewest = min(classes, key=lambda c: c.distinct)
            return fewest.name, f"it has the fewest values that come back ({_shape(fewest)})"
        return None, "no column holds values that come back"
    if columns[-1] in classes:
        return columns[-1].name, f"the last column, with few values ({_shape(columns[-1])})"
    if columns and columns[-1].kind == "number":
        return columns[-1].name, f"the last column ({_shape(columns[-1])})"
    return None, "no column stands out"


def _is_of_a_target(column: Column) -> bool:
    """Whether a column says something of a label, such as its id or source, and is none."""
    return bool(_LIKE_TARGET.match(column.name) and _NO_TARGET.search(column.name))


def _is_mere_date(column: Column) -> bool:
    """Whether a column of dates is no column of codes that look like dates, of which few come back."""
    return column.kind == "date" and column.distinct > _MOST_DATES


def _shape(column: Column) -> str:
    return f"{column.kind}, {column.distinct:,} distinct values"


def _guess_inputs(columns: Sequence[Column], target: Column | None) -> tuple[tuple[str, ...], str]:
    texts = [c for c in columns if c.kind in ("text", "list") and c is not target]
    if not texts:
        texts = [c for c in columns if c is not target and c.name.lower() in _TEXTS and c.kind == "category"]
    if not texts:
        return (), "no column holds text"
    pair = _find_pair(texts)
    if pair:
        return pair, "a pair by their names"
    by_name = sorted(texts, key=lambda c: _TEXTS.index(c.name.lower()) if c.name.lower() in _TEXTS else len(_TEXTS))
    others = ""
    if by_name[0].name.lower() in _TEXTS:
        chosen, reason = by_name[0], "its name says so"
    else:
        # texts before lists: numbers of an embedding are longer than any text
        chosen = max(texts, key=lambda c: (c.kind == "text", c.characters))
        reason = "the column with the longest text" if len(texts) > 1 else "the only column with text"
    if len(texts) > 1:
        unused = ", ".join(c.name for c in texts if c is not chosen)
        others = f"; not used: {unused}"
    return (chosen.name,), f"{reason} ({chosen.words:.0f} words on average{others})"


def _find_pair(texts: Sequence[Column]) -> tuple[str, ...] | None:
    names = {c.name.lower(): c.name for c in texts}
    for first, second in _PAIRS:
        if first in names and second in names:
            return names[first], names[second]
    stems: dict[str, list[str]] = {}
    for column in texts:
        stem = re.sub(r"([12]|[_ .-][ab]$)", "", column.name.lower(), count=1)
        if stem != column.name.lower():
            stems.setdefault(stem, []).append(column.name)
    return next((tuple(pair) for pair in stems.values() if len(pair) == 2), None)


def guess_task(target: Column | None, inputs: Sequence[Column], rows: int) -> tuple[str | None, str]:
    """The task that the target and the inputs make together."""
    if target is None:
        return None, "there is no target"
    if target.kind == "list" and inputs and inputs[0].kind == "image":
        return "object-detection", f"{target.name!r} holds boxes of every picture"
    if target.kind == "list":
        return "token-classification", f"{target.name!r} holds a list in every row"
    medium = "tabular" if not inputs else "image" if inputs[0].kind == "image" else "text"
    if target.kind == "constant" or is_classes(target, rows):
        return f"{medium}-classification", f"{target.name!r} has {target.distinct} classes"
    if target.kind in ("number", "id") and target.low is not None:
        return f"{medium}-regression", f"{target.name!r} holds numbers with {target.distinct:,} different values"
    if target.kind == "text" and medium == "text":
        return "seq2seq", f"{target.name!r} holds text ({target.words:.0f} words on average)"
    return None, f"{target.name!r} ({target.kind}, {target.distinct:,} distinct values) fits no known task"
