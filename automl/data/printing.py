"""An inspection as plain text for a terminal: compact, and safe whatever the data holds."""

from __future__ import annotations

import textwrap
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl.data.profile import Inspection

_WIDTH = 100
_MOST_COLUMNS = 40
_MOST_CLASSES = 20
_MOST_FINDINGS = 40
_MARKS = {"refuse": "REFUSE", "repair": "REPAIR", "warn": "WARN", "note": "note"}


def printable(value: object, longest: int = 200) -> str:
    """A value on one line without anything that a terminal would obey, cut to a length."""
    text = str(value)
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    # Cc: controls, escapes; Cf: invisible marks, among them those that turn the writing direction
    return "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _escaped(char) for char in cut
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def inspection_text(seen: Inspection) -> str:
    """The whole inspection."""
    sections = [_reading(seen), _roles(seen), _columns(seen), _classes(seen), _findings(seen)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _reading(seen: Inspection) -> str:
    return "\n".join(printable(rows.read_as.sentence(), 400) for rows in seen.parts.values())


def _roles(seen: Inspection) -> str:
    roles = seen.roles
    lines = [
        f"target  {printable(roles.target or 'none')}: {printable(roles.target_reason)}",
        f"inputs  {printable(', '.join(roles.inputs) or 'none')}: {printable(roles.inputs_reason)}",
        f"task    {roles.task or 'unknown'}: {printable(roles.task_reason)}",
    ]
    return "\n".join(lines)


def _columns(seen: Inspection) -> str:
    shown = seen.columns[:_MOST_COLUMNS]
    names = [printable(column.name, 28) for column in shown]
    wide = max([len(name) for name in names] + [6])
    lines = [f"{'column':<{wide}}  {'kind':<9} {'distinct':>9} {'missing':>9}  example"]
    for name, column in zip(names, shown, strict=True):
        example = printable(column.examples[0], 40) if column.examples else ""
        lines.append(f"{name:<{wide}}  {column.kind:<9} {column.distinct:>9,} {column.missing:>9,}  {example}")
    if len(seen.columns) > _MOST_COLUMNS:
        lines.append(f"... and {len(seen.columns) - _MOST_COLUMNS:,} more columns")
    return "\n".join(lines)


def _classes(seen: Inspection) -> str:
    if not seen.class_counts:
        return ""
    total = sum(seen.class_counts.values())
    shown = list(seen.class_counts.items())[:_MOST_CLASSES]
    wide = max(len(printable(name, 28)) for name, _ in shown)
    lines = [f"{len(seen.class_counts):,} classes"]
    for name, rows in shown:
        bar = "█" * max(1, round(30 * rows / shown[0][1]))
        lines.append(f"{printable(name, 28):<{wide}}  {rows:>9,}  {rows / total:>6.1%}  {bar}")
    if len(seen.class_counts) > _MOST_CLASSES:
        lines.append(f"... and {len(seen.class_counts) - _MOST_CLASSES:,} more classes")
    return "\n".join(lines)


def _findings(seen: Inspection) -> str:
    if not seen.findings:
        return "No findings."
    lines = [f"{len(seen.findings):,} finding{'s' if len(seen.findings) > 1 else ''}"]
    for finding in seen.findings[:_MOST_FINDINGS]:
        rows = ", ".join(str(row) for row in finding.rows[:5])
        more = ", ..." if finding.count > 5 and rows else ""
        where = f" Rows {rows}{more}." if rows else ""
        count = f" ({finding.count:,})" if finding.count else ""
        head = f"{_MARKS[finding.severity]:<6}  {finding.kind}{count}: "
        body = f"{printable(finding.what, 600)}. Then: {printable(finding.suggestion, 400)}.{where}"
        lines.append(textwrap.fill(head + body, _WIDTH, subsequent_indent=" " * 8, break_long_words=False))
    if len(seen.findings) > _MOST_FINDINGS:
        lines.append(f"... and {len(seen.findings) - _MOST_FINDINGS:,} more; all of them with --json")
    return "\n".join(lines)
