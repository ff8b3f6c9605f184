"""What a terminal shows: text that cannot harm it, tables that fit it, and the board."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from automl.leaderboard.busy import latency_text
from automl.leaderboard.planned import in_words
from automl.streams import say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

BOARD_COLUMNS = (
    "",
    "contender",
    "test",
    "95% interval",
    "tuned − default",
    "trials",
    "device time",
    "p50",
    "size",
)
# What a narrow terminal goes without, in this order; the report has it all.
_DISPENSABLE = (8, 7, 5, 4, 6)
_INTERVAL, _LEAST_NAME = 3, 12
"""What a very narrow one goes without too, so that so many characters are left for names."""
# Every column but the names is a number and stands to the right.
_TO_THE_RIGHT = frozenset(range(len(BOARD_COLUMNS))) - {1}


def safe(text: object) -> str:
    """Text from data as one line without control characters: no colour codes, no cursor moves."""
    flat = " ".join(str(text).split())
    return "".join(character for character in flat if unicodedata.category(character) not in ("Cc", "Cf", "Cs"))


def seconds_text(seconds: float | None) -> str:
    """A duration for people: '8 s', '3 min 20 s', '2 h 05 min'."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def print_board(board: Mapping[str, Any], file: IO[str] | None = None) -> None:
    """The rows of leaderboard.json and the verdict: a table in a terminal, aligned plain text elsewhere."""
    file = file or sys.stdout
    rows = [board_cells(row) for row in board["rows"]]
    if file.isatty():
        print_table(BOARD_COLUMNS, rows, title=f"{board['metric']} on the test rows", file=file)
    else:
        print(f"{board['metric']} on the test rows", file=file)
        print(plain_table(BOARD_COLUMNS, rows), file=file)
    for row in board["rows"]:
        if row["status"] == "failed":
            print(f"{safe(row['contender'])} failed: {safe(row['error'])}", file=file)
    print(f"\n{safe(board['verdict'])}", file=file)
    for reason in board["not_comparable_because"]:
        print(f"NOT COMPARABLE: {safe(reason)}", file=file)
    for note in board.get("protocol", {}).get("notes", ()):
        print(f"note: {safe(note)}", file=file)
    of_the_run = [one for one in board.get("plan") or () if one["contender"] is None]
    if of_the_run:
        told = (f"{what} {foretold} foretold, {came} came" for what, foretold, came in in_words(of_the_run))
        print(f"plan: {'; '.join(told)}", file=file)


def publish(run: Path | str, as_json: bool) -> int:
    """Print the board that lies in a run folder, and where its report and models are; 1 where it has no model."""
    directory = Path(run)
    text = (directory / "leaderboard.json").read_text(encoding="utf-8")
    board = json.loads(text)
    statuses = [row["status"] for row in board["rows"] if row["kind"] == "contender"]
    failed = bool(statuses) and set(statuses) == {"failed"}
    if failed:
        what = "the contender" if len(statuses) == 1 else f"all {len(statuses)} contenders"
        say(f"automl: {what} failed: there is no model; the board says why")
    if as_json:
        print(text.rstrip())
        return int(failed)
    print_board(board)
    print(f"\nreport   {directory / 'report.html'}")
    if (directory / "models").is_dir() and not failed:
        print(f"models   {directory / 'models'}")
    if not failed:
        print(f"use it   automl predict {directory} NEW.csv -o predictions.csv")
    return int(failed)


def board_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One row of leaderboard.json as the cells of the printed board."""
    gain = row.get("tuned_minus_default") or {}
    difference = gain.get("mean", gain.get("difference"))
    allowed = row["device_seconds_allowed"]
    spent = seconds_text(row["device_seconds"])
    return (
        str(row["rank"]),
        safe(row["contender"]),
        _number(row["test_mean"]),
        f"{_number(row['test_low'])} to {_number(row['test_high'])}" if row["test_low"] is not None else "",
        f"{difference:+.4f}" if difference is not None else "",
        _trials(row["trials"]),
        f"{spent} of {seconds_text(allowed)}" if allowed else spent,
        latency_text(row["latency_ms_p50"], row.get("latency_busy")),
        f"{row['parameters'] / 1e6:.1f} M" if row["parameters"] else "",
    )


def _trials(counts: Mapping[str, int]) -> str:
    """'5 + 2 pruned + 1 failed': what completed, then what did not and why."""
    if not any(counts.values()):
        return ""
    parts = [str(counts.get("completed", 0))]
    for status in ("pruned", "failed", "out_of_memory"):
        if counts.get(status):
            parts.append(f"{counts[status]} {status.replace('_', ' ')}")
    return " + ".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns without any frame, for files and pipes; empty columns are left out."""
    kept = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    widths = {i: max(len(columns[i]), *(len(row[i]) for row in rows)) for i in kept}
    lines = []
    for row in (columns, *rows):
        cells = [row[i].rjust(widths[i]) if i in _TO_THE_RIGHT else row[i].ljust(widths[i]) for i in kept]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str, file: IO[str]) -> None:
    """A rich table; empty columns are left out, and in a narrow terminal the dispensable ones too."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=file)
    kept = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    widths = [max(len(row[index]) for row in (columns, *rows)) + 3 for index in range(len(columns))]
    for index in _DISPENSABLE:
        if index in kept and sum(widths[i] for i in kept) + 1 > console.width:
            kept.remove(index)
    if _INTERVAL in kept and sum(widths[i] for i in kept if i in _TO_THE_RIGHT) + _LEAST_NAME > console.width:
        kept.remove(_INTERVAL)
    table = Table(title=Text(title), title_justify="left")
    for index in kept:
        side: Literal["right", "left"] = "right" if index in _TO_THE_RIGHT else "left"
        # names are folded, a number in two lines is another number
        table.add_column(Text(columns[index]), justify=side, overflow="fold", no_wrap=index in _TO_THE_RIGHT)
    for row in rows:
        table.add_row(*(Text(row[index]) for index in kept))  # Text: brackets in names are no markup
    console.print(table)


class Steps:
    """How far long work on rows is: a bar in a terminal, elsewhere a line every few seconds; of short work nothing.

    Listens to `automl.data.pieces`. file: standard error by default. clock: seconds that only grow.
    """

    QUIET_SECONDS, LINE_SECONDS = 1.0, 5.0

    def __init__(self, file: IO[str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file or sys.stderr
        self._clock = clock
        self._what, self._began, self._line_at = "", 0.0, clock()
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def __call__(self, what: str, done: int, rows: int) -> None:
        now = self._clock()
        if what != self._what or done == 0:
            self._what, self._began = what, now
            self.clear()
        if done >= rows:
            self.clear()
        elif not self._file.isatty():
            if now - self._line_at >= self.LINE_SECONDS:
                self._line_at = now
                print(f"{safe(what)}: {done:,} of {rows:,} rows", file=self._file, flush=True)
        elif now - self._began >= self.QUIET_SECONDS:
            self._show(what, done, rows)

    def clear(self) -> None:
        """Take the bar away; nothing of it stays."""
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None

    def _show(self, what: str, done: int, rows: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bar is None:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
            console = Console(file=self._file)
            progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._bar = progress, progress.add_task(safe(what), total=rows)
            progress.start()
        progress, task = self._bar
        progress.update(task, completed=done)
