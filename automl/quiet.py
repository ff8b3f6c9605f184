"""What other packages do unasked when they are imported, and are kept from here: reports of use, further packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

VARIABLES: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "DO_NOT_TRACK": "true",
}
"""What switches reports of use off, package by package; each is read once, when its package is imported."""
NOT_FOR: Mapping[str, tuple[str, ...]] = {
    "ray.air.integrations.mlflow": ("mlflow",),
    "ray.air.integrations.wandb": ("wandb",),
    "ray.air.integrations.comet": ("comet_ml",),
    "accelerate.tracking": ("mlflow", "wandb", "comet_ml"),
}
"""Modules that import what is installed, to see whether they might use it. Ray Tune imports the first three to count
a run's callbacks; MLflow alone takes seconds, and writes an identity into the home folder."""


def keep_quiet() -> None:
    """Set every variable that the user has not set, and keep modules from importing what they only look at."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in NOT_FOR:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, NOT_FOR[fullname])
        return spec


class _Loader(Loader):
    """Runs a module where some packages seem not to be installed."""

    def __init__(self, loader: Loader, hidden: Sequence[str]) -> None:
        self._loader, self._hidden = loader, hidden

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _hidden(self._hidden):
            self._loader.exec_module(module)


@contextmanager
def _hidden(packages: Sequence[str]) -> Iterator[None]:
    """Packages that nobody has imported yet cannot be imported inside."""
    names = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)
