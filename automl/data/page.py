"""The page of `inspect --html`: one file that needs no network and no script, for people to look at their data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.boxes import BOXES
from automl.data.columns import Column, as_text, word_counts
from automl.data.page_rows import Quoter, rows_in_words
from automl.data.quality import LONG_WORDS
from automl.errors import RequestError
from automl.pages.page import cut, environment

if TYPE_CHECKING:
    from automl.data.profile import Inspection

_TEMPLATES = Path(__file__).parent / "templates"
_ENDINGS = (".html", ".htm")
_MOST_FINDINGS, _MOST_COLUMNS, _MOST_CLASSES, _MOST_SIZES = 60, 200, 50, 10
_MEANINGS = {
    "refuse": "stops a run",
    "repair": "repaired by a run",
    "warn": "to look at",
    "note": "good to know",
}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of a chart. percent: of the longest line. alarm: whether it stands for something wrong."""

    name: str
    count: int
    share: str
    percent: float
    others: tuple[str, ...] = ()
    alarm: bool = False


def check_page_file(file: Path, source: str) -> None:
    """Raises RequestError where no page can or should be written to this file."""
    if file.suffix.lower() not in _ENDINGS:
        raise RequestError(f"--html is {str(file)!r}", "a file that ends in .html", "Correct it")
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise RequestError(
            f"--html is {str(file)!r}, which cannot be written", "a file in a folder that is there", "Correct it"
        )
    if file.exists() and file.resolve() == Path(source).resolve():
        raise RequestError(f"--html is {str(file)!r}, the data itself", "another file", "Correct it")


def write_page(seen: Inspection, file: Path) -> None:
    """The inspection as a page in a file. Raises RequestError where it cannot be written."""
    try:
        file.write_text(inspection_page(seen), encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"{file} cannot be written: {error.strerror or error}", "a file that may be written", "Correct --html"
        ) from None


def inspection_page(seen: Inspection) -> str:
    """The whole page. It quotes rows of the data, and says so in its head."""
    quoter = Quoter(seen)
    return environment(_TEMPLATES).get_template("inspection.html").render(_content(seen, quoter))


def _content(seen: Inspection, quoter: Quoter) -> dict[str, Any]:
    parts = {name: rows.table.num_rows for name, rows in seen.parts.items()}
    return {
        "source": cut(seen.parts["train"].read_as.source, 200),
        "heading": _heading(seen),
        "takeaways": _takeaways(seen),
        "read_as": [cut(rows.read_as.sentence(), 600) for rows in seen.parts.values()],
        "columns": [_column(column) for column in seen.columns[:_MOST_COLUMNS]],
        "more_columns": max(0, len(seen.columns) - _MOST_COLUMNS),
        "other_parts": [name for name in parts if name != "train"],
        "classes": _boxes(seen) if quoter.boxed else _classes(seen),
        "boxed": quoter.boxed,
        "more_classes": max(0, len(seen.class_counts) - _MOST_CLASSES),
        "lengths": [] if quoter.pictured else [(cut(name, 60), _lengths(seen, name)) for name in seen.roles.inputs],
        "long_words": LONG_WORDS,
        "limits": [
            (cut(one["model"], 80), f"{one['tokens']:,}", *(f"{rows:,}" for rows in one["cut"].values()))
            for one in seen.limits
        ],
        "sizes": _sizes(seen),
        "meanings": _MEANINGS,
        "findings": [_finding(seen, quoter, number) for number in range(min(len(seen.findings), _MOST_FINDINGS))],
        "more_findings": max(0, len(seen.findings) - _MOST_FINDINGS),
        "pictured": quoter.pictured,
        "samples": [(cut(name, 80), quotes) for name, quotes in quoter.samples() if quotes],
    }


def _heading(seen: Inspection) -> str:
    rows = ", ".join(
        f"{part.table.num_rows:,}" + ("" if len(seen.parts) == 1 else f" {name}") for name, part in seen.parts.items()
    )
    return f"{rows} rows for {seen.roles.task or 'no task that is known'}"


def _takeaways(seen: Inspection) -> list[tuple[str, str]]:
    roles, found = seen.roles, [finding.severity for finding in seen.findings]
    told = [f"{found.count(severity)} {meaning}" for severity, meaning in _MEANINGS.items() if severity in found]
    return [
        ("Target", f"{cut(roles.target or 'none', 80)}: {cut(roles.target_reason)}"),
        ("Inputs", f"{cut(', '.join(roles.inputs) or 'none', 120)}: {cut(roles.inputs_reason)}"),
        ("Task", f"{roles.task or 'unknown'}: {cut(roles.task_reason)}"),
        ("Findings", "; ".join(told) or "none"),
    ]


def _column(column: Column) -> tuple[str, ...]:
    spread = f"{column.words:g} words on average" if column.kind == "text" else ""
    if column.low is not None and column.high is not None:
        spread = f"{column.low:g} to {column.high:g}"
    example = cut(column.examples[0], 60) if column.examples else ""
    return cut(column.name, 60), column.kind, spread, example, f"{column.distinct:,}", f"{column.missing:,}"


def _classes(seen: Inspection) -> list[Bar]:
    """Rows of every class in train, with the share that it has in each other part."""
    shares = {name: _shares(seen, name) for name in seen.parts if name != "train"}
    return [
        Bar(
            name=bar.name,
            count=bar.count,
            share=bar.share,
            percent=bar.percent,
            others=tuple(f"{share.get(name, 0.0):.1%}" if share else "–" for share in shares.values()),
        )
        for bar, name in zip(_bars(seen.class_counts), seen.class_counts, strict=True)
    ][:_MOST_CLASSES]


def _boxes(seen: Inspection) -> list[Bar]:
    """Boxes of every class in train."""
    told = Counter(box["label"] for boxes in seen.parts["train"].table[BOXES].to_pylist() for box in boxes or ())
    return _bars(dict(told.most_common(_MOST_CLASSES)))


def _shares(seen: Inspection, part: str) -> dict[str, float]:
    labels = seen.keyed[part].labels
    counted = [] if labels is None else labels.drop_null().value_counts().to_pylist()
    total = sum(pair["counts"] for pair in counted)
    return {pair["values"]: pair["counts"] / total for pair in counted}


def _bars(counts: Mapping[str, int], alarms: Sequence[bool] = ()) -> list[Bar]:
    total, longest = max(1, sum(counts.values())), max([1, *counts.values()])
    return [
        Bar(
            name=cut(name, 80),
            count=count,
            share=f"{count / total:.1%}",
            percent=round(100 * count / longest, 2),
            alarm=bool(alarms) and alarms[place],
        )
        for place, (name, count) in enumerate(counts.items())
    ]


def _lengths(seen: Inspection, column: str) -> list[Bar]:
    """Training rows by their number of words; the bounds double, with one where most models cut."""
    words = word_counts(as_text(seen.parts["train"].table[column]))
    longest = int(words.max(initial=0))
    bounds = sorted({0, 1, LONG_WORDS + 1, *(1 << power for power in range(1, longest.bit_length() + 1))})
    bounds = [bound for bound in bounds if bound <= longest]
    counts = {}
    for low, high in zip(bounds, [*bounds[1:], longest + 1], strict=True):
        name = f"{low:,}" if high == low + 1 else f"{low:,} to {high - 1:,}"
        counts[name] = int(((words >= low) & (words < high)).sum())
    while counts and not next(iter(counts.values())):  # nothing is shorter than the first bar
        del counts[next(iter(counts))], bounds[0]
    return _bars(counts, [low > LONG_WORDS for low in bounds])


def _sizes(seen: Inspection) -> list[Bar]:
    """Training pictures by width and height, the most frequent sizes first."""
    sizes = [f"{look.width:,} × {look.height:,}" for look in seen.looks.get("train", ()) if look.problem is None]
    names, counts = np.unique(np.array(sizes, dtype=str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_SIZES]
    return _bars({str(names[place]): int(counts[place]) for place in order})


def _finding(seen: Inspection, quoter: Quoter, number: int) -> dict[str, Any]:
    finding = seen.findings[number]
    rows = seen.parts[finding.part].table.num_rows
    return {
        "kind": finding.kind.replace("_", " "),
        "severity": finding.severity,
        "what": cut(finding.what, 600),
        "suggestion": cut(finding.suggestion, 400),
        "count": finding.count,
        "share": f"{finding.count / rows:.1%}"
        if finding.kind != "broken_boxes" and 0 < finding.count <= rows
        else "",
        "part": finding.part,
        "rows": rows_in_words(finding),
        "examples": quoter.of_finding(finding),
        "broken": quoter.broken(finding),
    }
