"""Names that a user may have meant: folders beside the one named, packages with weights, hub ids."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path

from automl.models.installed import fold, weight_packages
from automl.models.weights import holds_model

_WELL_KNOWN = (
    "albert/albert-base-v2", "answerdotai/ModernBERT-base", "distilbert/distilbert-base-cased",
    "distilbert/distilroberta-base", "FacebookAI/roberta-large", "FacebookAI/xlm-roberta-base",
    "google-bert/bert-base-cased", "google-bert/bert-base-multilingual-cased",
    "google-bert/bert-large-uncased",
    "google/electra-base-discriminator", "google/electra-small-discriminator", "intfloat/e5-small-v2",
    "microsoft/deberta-v3-base", "microsoft/deberta-v3-small", "microsoft/MiniLM-L12-H384-uncased",
    "microsoft/mpnet-base", "sentence-transformers/all-mpnet-base-v2", "openai-community/gpt2",
    "HuggingFaceTB/SmolLM2-135M", "Qwen/Qwen3-0.6B-Base",
)  # fmt: skip


def names_like(name: str, known: Iterable[str], count: int = 1) -> list[str]:
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.6)


def folders_like(folder: Path) -> list[str]:
    """Model folders beside the missing one with a similar name, or any there; nearest first."""
    parent = folder.parent
    try:
        beside = [path for path in parent.iterdir() if path.is_dir() and holds_model(path)]
    except OSError:
        return []
    names = names_like(folder.name, (path.name for path in beside), count=2)
    return [str(parent / name) for name in names]


def models_like(name: str, cache: Path, defaults: Collection[str]) -> list[str]:
    """At most three names: a folder, packages, hub ids (known ones and cached ones)."""
    cached = [path.name[len("models--") :].replace("--", "/") for path in cache.glob("models--*")]
    hub_ids = list(dict.fromkeys((*defaults, *_WELL_KNOWN, *cached)))
    by_last_part = {hub_id.rsplit("/", 1)[-1].lower(): hub_id for hub_id in hub_ids}
    packages = {package: f"package:{package}" for package in weight_packages()}
    last = name.rsplit("/", 1)[-1].lower()
    found = folders_like(Path(name))
    found += [by_last_part[key] for key in names_like(last, by_last_part, count=2)]
    found += [
        shown for package, shown in packages.items() if fold(last) in package or names_like(fold(last), [package])
    ]
    return [candidate for candidate in dict.fromkeys(found) if candidate != name][:3]
