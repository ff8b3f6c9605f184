"""Point `automl` at a dataset and get a leaderboard of tuned models that you can trust.

    board = automl.run("reviews.csv", target="label", models=["distilbert-base-uncased"], trials=12)
    board.to_pandas()
    board.best.predict(["a great film"])

Nothing heavy is imported until it is used: `import automl` takes no torch, transformers, ray or datasets.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from automl.quiet import keep_quiet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from automl.api import board, compare, extend, load, replay, resume, verify
    from automl.config import RunRequest
    from automl.data.profile import inspect
    from automl.errors import AutoMLError
    from automl.finished import Board
    from automl.tracking.base import Tracker

keep_quiet()

__version__ = "0.1.0"

__all__ = [
    "AutoMLError",
    "Board",
    "RunRequest",
    "Tracker",
    "__version__",
    "board",
    "compare",
    "extend",
    "inspect",
    "load",
    "plan",
    "replay",
    "resume",
    "run",
    "verify",
]

# Where each public name lives; imported on first use, so that `import automl` stays fast.
_HOMES = {
    "AutoMLError": "automl.errors",
    "Board": "automl.finished",
    "RunRequest": "automl.config",
    "Tracker": "automl.tracking.base",
    "inspect": "automl.data.profile",
} | dict.fromkeys(("board", "compare", "extend", "load", "replay", "resume", "verify"), "automl.api")


def run(
    source: Any,
    *,
    config: str | Path | None = None,
    trackers: Sequence[Tracker] = (),
    live: bool = True,
    **options: Any,
) -> Board:
    """The leaderboard of a whole run: `automl run` as a function, with the same options as keywords.

    source: a path or the name of data, as on the command line; or data in memory: a pandas or Polars DataFrame, a
    pyarrow Table, a list of dicts, a dict of columns, a datasets.Dataset, or a dict of these by split. `test` and
    `validation` may be such tables too.
    config: a YAML file of options; keywords win over it.
    live: show progress on standard error.
    Raises AutoMLError; its message says what was found, what was expected, and what to do.
    """
    from automl import api
    from automl.progress import LiveView

    request, held = _requested(source, options, config)
    view = (LiveView(),) if live else ()
    return api.run(request, trackers=(*view, *trackers), held=held)


def plan(source: Any, *, config: str | Path | None = None, **options: Any) -> str:
    """What `run` would do with the same arguments, and take, as text; some steps are tried, nothing is kept."""
    from automl import api

    return api.plan(*_requested(source, options, config))


def _requested(
    source: Any, options: dict[str, Any], config: str | Path | None
) -> tuple[RunRequest, dict[str, object]]:
    """The checked request, and what of its data lies in memory, by part."""
    from automl.config import make_request
    from automl.data.in_memory import told_apart

    parts = {"train": source, "validation": options.get("validation"), "test": options.get("test")}
    names, held = told_apart(parts)
    return make_request({**options, "source": names.pop("train"), **names}, config), held


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'automl' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
