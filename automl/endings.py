"""How a command that did not come to its end says so, and its exit code."""

from __future__ import annotations

import argparse
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from automl.commands import run_directory
from automl.errors import AutoMLError, RequestError
from automl.provenance import environment
from automl.streams import say
from automl.terminal import safe

MISTAKE, FAILURE, INTERRUPTED = 2, 3, 130


def refused(error: AutoMLError) -> int:
    """Tell what the user can mend; several problems one a line."""
    problems = error.problems if isinstance(error, RequestError) else ()
    if len(problems) > 1:
        options = error.found.startswith(problems[0])
        head = f"{len(problems)} options are wrong" if options else error.found.partition(": ")[0]
        lines = [f"{safe(head)}:", *(f"  - {safe(problem)}" for problem in problems), safe(error.todo)]
    else:
        lines = [safe(error)]
    say("automl: " + "\n".join(lines))
    return error.exit_code


def interrupted(parsed: argparse.Namespace | None) -> int:
    directory = run_directory(parsed) if parsed is not None else None
    resumable = directory is not None and (directory / "request.yaml").exists()
    advice = f"; go on with: automl resume {directory}" if resumable else ""
    say(f"\ninterrupted{advice}")
    return INTERRUPTED


def unread(problem: OSError) -> int:
    """Standard output takes nothing more. What a command writes into files is not concerned."""
    reason = problem.strerror or type(problem).__name__
    say(f"automl: standard output cannot be written: {reason}. Send it elsewhere; files and run folders are kept")
    return MISTAKE


def failed(error: BaseException, parsed: argparse.Namespace | None, arguments: Sequence[str]) -> int:
    """Write what a maintainer needs to know into a log, name it, and return exit code 3."""
    name = time.strftime("automl-failure-%Y%m%d-%H%M%S.log")
    directory = run_directory(parsed) if parsed is not None else None
    logs = directory / "logs" if directory is not None and (directory / "logs").is_dir() else None
    trace = "".join(traceback.format_exception(error))
    lines = [
        f"automl {' '.join(arguments)}",
        "",
        trace,
        *(f"{k}: {v}" for k, v in environment().items()),
    ]
    said = str(error) if isinstance(error, AutoMLError) else f"{type(error).__name__}: {error}"
    first = safe(said.strip().splitlines()[0] if said.strip() else type(error).__name__)
    say(f"automl: {first}")
    try:
        file = (logs or Path(tempfile.gettempdir())) / name
        file.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")
        say(f"This is our failure, not yours. The log to send: {file}")
    except OSError as lost:  # no folder for it, or a full one
        say(f"This is our failure, not yours. No log could be written ({lost.strerror}); what to send:\n{trace}")
    if directory is not None and (directory / "request.yaml").exists():
        say(f"What was finished is kept; try: automl resume {directory}")
    return FAILURE
