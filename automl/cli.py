"""The command line: arguments in, a command out, every error told in three parts. Work is in commands.py."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, get_args

from automl import __version__
from automl.errors import MissingExtra, RequestError, UserError

DONE = 0

# Optional packages and the extra that brings each (pyproject.toml).
_EXTRAS = {name: "train" for name in ("torch", "transformers", "ray", "optuna", "safetensors", "tokenizers")}
_EXTRAS |= {"datasets": "train", "huggingface_hub": "train", "wandb": "wandb", "peft": "lora"}

_METAVARS = dict.fromkeys(("target", "image", "group", "time", "split"), "COLUMN")
_METAVARS |= {"test": "FILE", "validation": "FILE", "out": "DIR", "search_spaces": "DIR", "wandb": "PROJECT"}
_METAVARS |= {"margin": "POINTS", "encoding": "NAME", "delimiter": "CHARACTER", "header": "yes|no", "memory": "GIB"}
_METAVARS |= {"price_per_hour": "PRICE", "storage": "URL", "checkpoint_every": "TIME", "wandb_entity": "TEAM"}
_METAVARS |= {"mlflow": "URI", "notify": "URL", "budget": "TIME", "time_limit": "TIME"}

_ADDRESS = "the dashboard of the cluster's head (default http://127.0.0.1:8265, the end of a tunnel)"

Adder = Callable[[argparse.ArgumentParser], None]


class _Once(argparse.Action):
    """Keeps an option's value, and refuses another one after it, which argparse would keep without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest, None)
        if option is not None and before not in (None, values):
            found, todo = f"{option} is given twice, as {before!r} and as {values!r}", "Leave one out, or join them"
            raise RequestError(found, "one value; several names in one are separated by commas", todo)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are RequestErrors with near misses; it never exits by itself."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(message, "", f"See {self.prog} --help")

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register("action", None, _Once)  # what an option does that is given no action

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stderr).write(message)  # argparse itself says nothing where that fails


def add_request_options(parser: argparse.ArgumentParser, *, source: bool = True) -> None:
    """Every field of RunRequest as an option, with the description that stands beside the field."""
    from automl.config import RunRequest

    for name, field in RunRequest.model_fields.items():
        text = (field.description or "").replace("%", "%%")
        if name == "source":
            if source:  # optional here, because a --config file may name it
                parser.add_argument("source", metavar="SOURCE", nargs="?", help=text)
            continue
        option = "--" + name.replace("_", "-")
        default = field.default
        if default not in (None, (), "", False) and "default" not in text:
            text += f" (default {','.join(default) if isinstance(default, tuple) else default})"
        if field.annotation is bool:
            parser.add_argument(option, dest=name, action="store_const", const=True, help=text)
        else:
            parser.add_argument(option, dest=name, metavar=_metavar(name, field.annotation), help=text)
    parser.add_argument("--config", metavar="FILE.yaml", help="a YAML file of these options; options given here win")


def _metavar(name: str, annotation: Any) -> str:
    if name in _METAVARS:
        return _METAVARS[name]
    kinds = (annotation, *get_args(annotation))
    words = [word for kind in kinds for word in get_args(kind) if isinstance(word, str)]
    if words:
        return "|".join(words)
    if any("tuple" in str(kind) for kind in kinds):
        return "A,B"
    return "N" if int in kinds else name.upper()


def _json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=f"{what} on standard output, and nothing else there")


def _add_run(parser: argparse.ArgumentParser, *, source: bool = True) -> None:
    add_request_options(parser, source=source)
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    # Accepted so that scripts may say it: no question is ever asked.
    parser.add_argument("--yes", action="store_true", help=argparse.SUPPRESS)
    _json(parser, "leaderboard.json")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    _add_run(parser, source=False)


def _add_run_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, such as runs/reviews")
    _json(parser, "leaderboard.json")


def _add_resume(parser: argparse.ArgumentParser) -> None:
    _add_run_folder(parser)
    parser.add_argument("--notify", metavar="URL", help="the webhook again: no file keeps it (or AUTOML_NOTIFY)")
    parser.add_argument(
        "--address", help="another Ray cluster than the run's (local: none); RUN may also be STORAGE/NAME"
    )


def _add_extend(parser: argparse.ArgumentParser) -> None:
    _add_resume(parser)
    parser.add_argument("--trials", metavar="+N", help="so many trials more for every contender")
    parser.add_argument(
        "--budget", metavar="+TIME", help="so much more device time for every contender, such as +10m"
    )
    parser.add_argument("--models", metavar="A,B", help="further models; each gets what the others have got")


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, such as runs/reviews")
    _json(parser, "every check and what it found")


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a finished run's folder")
    parser.add_argument("--row", metavar="CONTENDER", required=True, help="a contender of the board")
    parser.add_argument("--seed", metavar="K", help="the seed of one of its finals (default: the shipped model's)")
    parser.add_argument("--address", help="another Ray cluster than the run's (local: a Ray of its own)")
    _json(parser, "whether it matched, and by how much it missed,")


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="finished runs' folders, two or more")
    _json(parser, "the common board")


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_data(parser, "group", "time", "folds", "slice", "clean", "rare_classes", "task", "levels")
    what = "look for labels that are probably wrong too (trains cheap models; needs the extra quality)"
    parser.add_argument("--label-errors", action="store_true", help=what)
    what = "count exactly which rows are longer than these models read (needs the extra train)"
    parser.add_argument("--models", metavar="A,B", help=what)
    what = "also a page to look at, with the findings and example rows (it quotes the data)"
    parser.add_argument("--html", metavar="FILE", help=what)
    _json(parser, "the findings")


def _add_clean(parser: argparse.ArgumentParser) -> None:
    from automl.data.repairs import REPAIRS

    _add_data(parser)
    parser.add_argument("-o", "--out", metavar="OUT", required=True, help="a new folder, or a file for a single part")
    parser.add_argument("--clean", metavar="A,no-B", help="repairs to make beside those marked *, or not to make")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, REPAIRS))
    lines = [f"  {'*' if repair.default else ' '} {name:<{width}}  {repair.what}" for name, repair in REPAIRS.items()]
    parser.epilog = "\n".join(["repairs (* made unless told otherwise):", *lines])
    _json(parser, "every row that was touched")


def _add_data(parser: argparse.ArgumentParser, *more: str) -> None:
    """A dataset, and what a user may say of it. more: further options of a run."""
    what = (
        "a file, compressed or not, a pattern such as 'data/*.csv', an archive, a folder of split files or of "
        "folders for each class, a URL, a saved Hugging Face dataset, or a hub name"
    )
    parser.add_argument("source", metavar="DATA", help=what)
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict (guessed when left out)")
    parser.add_argument("--text", metavar="A,B", help="one text column, or two separated by a comma")
    parser.add_argument("--image", metavar="COLUMN", help="the column of picture files' paths")
    parser.add_argument("--test", metavar="FILE", help="a file of test rows, to find overlaps")
    parser.add_argument("--validation", metavar="FILE", help="a file of validation rows, to find overlaps")
    _add_reading(parser, "split", *more)


def _add_reading(parser: argparse.ArgumentParser, *more: str) -> None:
    """The options that say how a file is to be read, and more of them, as `run` has them."""
    from automl.config import READING, RunRequest

    for name in (*READING, *more):
        option, metavar = f"--{name.replace('_', '-')}", _metavar(name, RunRequest.model_fields[name].annotation)
        parser.add_argument(option, metavar=metavar, help=RunRequest.model_fields[name].description)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a finished run's folder")
    parser.add_argument("data", metavar="DATA", help="the rows to predict, in any file that `run` reads, or images")
    parser.add_argument("-o", "--out", metavar="OUT", required=True, help="CSV, TSV, JSONL or Parquet, by its ending")
    parser.add_argument("--row", metavar="CONTENDER", help="a row of the board (default: the first)")
    _add_reading(parser)


def _add_spaces(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show", "check"), help="list all, show one, or check a file")
    parser.add_argument("name", nargs="?", help="for show: a space, such as text_encoder_small; for check: a file")
    parser.add_argument("--search-spaces", metavar="DIR", help="a folder of search-space files, looked up first")


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="look these up as `run --models` would")


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, of a run that goes on or has ended")
    parser.add_argument("--once", action="store_true", help="one frame, and no more")


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", default="runs", help="where to look (default runs)")
    _json(parser, "every run with its state, best score and cost")


def _add_sync(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder whose runs W&B does not have yet, or not whole")
    what = "show what lies there for W&B, as a tree with counts, and send nothing"
    parser.add_argument("--dry-run", action="store_true", help=what)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _json(parser, "the findings")


def _add_submit(parser: argparse.ArgumentParser) -> None:
    add_request_options(parser)
    address = next(action for action in parser._actions if action.dest == "address")
    address.help, address.metavar = _ADDRESS, "URL"
    parser.add_argument("--resume", metavar="JOB", help="go on with the run of an ended job, instead of SOURCE")
    parser.add_argument("--detach", action="store_true", help="do not show what the job prints")
    _json(parser, "the job's name and state")


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="the name that `automl submit` told")
    parser.add_argument("--address", metavar="URL", help=_ADDRESS)


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_job(parser)
    _json(parser, "the job's state")


def _add_logs(parser: argparse.ArgumentParser) -> None:
    _add_job(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    _add_job(parser)
    parser.add_argument("--out", metavar="DIR", help="where to (default: the run folder's name on the cluster)")
    parser.add_argument("--all", action="store_true", help="caches and checkpoints too")


COMMANDS: dict[str, tuple[str, Adder]] = {
    "run": ("tune every contender under one budget and publish the leaderboard", _add_run),
    "demo": ("the same on a small example that comes with automl", _add_demo),
    "inspect": ("what the data is and what is wrong with it, before anything is spent", _add_inspect),
    "clean": ("the data without what is wrong with it, in new files, and a record of every row", _add_clean),
    "plan": ("what `run` would do, and take; a few steps are tried, nothing is kept", add_request_options),
    "resume": ("go on with a run after a crash or Ctrl-C", _add_resume),
    "extend": ("more budget for every contender of a run, or further models", _add_extend),
    "board": ("the leaderboard again, recomputed from the run folder without torch", _add_run_folder),
    "verify": ("whether a run folder was edited, and its board follows from its records", _add_verify),
    "replay": ("train a row's final again and say whether it matches", _add_replay),
    "compare": ("the boards of several runs as one, where split, metric and budget agree", _add_compare),
    "predict": ("use a finished run's model on new rows", _add_predict),
    "sync": ("send to W&B what it did not get while the run went on", _add_sync),
    "watch": ("how a run stands: contenders, trials, spend, time left; it is only read", _add_watch),
    "runs": ("the runs in a folder, and what became of them", _add_runs),
    "models": ("the default models, or where a name leads", _add_models),
    "spaces": ("the search spaces: what is searched, and why", _add_spaces),
    "submit": ("`run` on a Ray cluster, which goes on when this machine leaves", _add_submit),
    "status": ("how a submitted run stands", _add_status),
    "logs": ("what a submitted run has printed", _add_logs),
    "stop": ("have a submitted run wind up, so that it can go on later", _add_job),
    "fetch": ("bring a submitted run's folder here, and verify it", _add_fetch),
    "doctor": ("what works on this machine, and what to do about the rest", _add_doctor),
}


def build_parser(command: str | None = None) -> Parser:
    """The parser of all commands; with `command`, only that one gets its options (they cost imports)."""
    parser = Parser(
        prog="automl",
        allow_abbrev=False,
        description="Point automl at a dataset and get a leaderboard of tuned models that you can trust.",
        epilog="Exit codes: 0 done; 1 done, the answer is no; 2 your mistake; 3 our failure.",
    )
    parser.add_argument("--version", action="version", version=f"automl {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (summary, add_options) in COMMANDS.items():
        child = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if command in (name, None):
            add_options(child)
    return parser


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed arguments. Raises RequestError with the near miss of an unknown command or option."""
    command = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if command and command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"Did you mean: automl {near[0]}?" if near else "See automl --help"
        raise RequestError(f"unknown command {command!r}", f"one of {', '.join(COMMANDS)}", hint)
    parser = build_parser(command)
    if arguments and not command and arguments[0] not in parser._option_string_actions:
        raise _unknown_options(parser, "", [arguments[0].partition("=")[0]])
    parsed, unknown = parser.parse_known_args(arguments)
    options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    if options:
        raise _unknown_options(parser, command, options)
    if unknown:
        raise RequestError(f"unexpected arguments: {' '.join(unknown)}", "", f"See automl {command} --help")
    return parsed


def _unknown_options(parser: Parser, command: str, options: Sequence[str]) -> RequestError:
    children = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    known = list((children.choices[command] if command else parser)._option_string_actions)
    near = {option: difflib.get_close_matches(option, known, n=1) for option in options}
    see = f"See automl {command} --help" if command else "See automl --help"
    if len(near) == 1:
        [(option, match)] = near.items()
        hint = f"Did you mean {match[0]}? " if match else ""
        return RequestError(f"unknown option {option}", "", hint + see)
    problems = [f"unknown option {o}" + (f"; did you mean {m[0]}?" if m else "") for o, m in near.items()]
    return RequestError("; ".join(problems), "", see, problems=problems)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no traceback reaches the user."""
    from automl.streams import finish_output, prepare_streams

    prepare_streams()
    code, left = DONE, None
    try:
        code = _carry_out(list(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as exit:  # of --help and --version, whose text may still be on its way
        left = exit
    problem = finish_output()
    if problem is not None and not isinstance(problem, BrokenPipeError) and code == DONE:
        from automl.endings import unread

        return unread(problem)
    if left is not None:
        raise left
    return code


def _carry_out(arguments: list[str]) -> int:
    parsed: argparse.Namespace | None = None
    try:
        parsed = parse(arguments)
        if not parsed.command:
            build_parser("").print_help()
            return DONE
        if getattr(parsed, "json", False):
            from automl.streams import expect_json

            expect_json()
        from automl import commands

        return commands.carry_out(parsed)
    except BrokenPipeError:  # the reader of our output left, as in `automl inspect x | head`
        return DONE
    except (KeyboardInterrupt, Exception) as error:
        return _ended_by(error, parsed, arguments)


def _ended_by(error: BaseException, parsed: argparse.Namespace | None, arguments: Sequence[str]) -> int:
    from automl import endings
    from automl.streams import output_is_lost

    if isinstance(error, KeyboardInterrupt):
        return endings.interrupted(parsed)
    if isinstance(error, UserError):
        return endings.refused(error)
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in _EXTRAS:
            command = f"automl {parsed.command if parsed else ''}".strip()
            return endings.refused(MissingExtra.of(package, _EXTRAS[package], command))
    if isinstance(error, OSError) and error.filename is None and (problem := output_is_lost()) is not None:
        return DONE if isinstance(problem, BrokenPipeError) else endings.unread(problem)
    return endings.failed(error, parsed, arguments)


if __name__ == "__main__":
    sys.exit(main())
