"""What works on this machine, and what to do about the rest. Nothing here is changed, no key is printed."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl.errors import RequestError
from automl.provenance import cpu_model, gpus, memory_bytes, package_versions, usable_cores
from automl.scratch import LONGEST_FOLDER, folder_of_ray, other_folder, why_unusable
from automl.terminal import safe

HUB_SECONDS = 3.0
"""How long the hub may take to answer before it counts as unreachable."""
_GIB = 1 << 30
_LEAST_FREE_DISK = 5 * _GIB  # a run keeps a checkpoint a contender and its caches
_LEAST_MEMORY = 3 * _GIB  # Ray takes 1, a small encoder's training 1.5
_OWN = "pip install 'automl[train]'"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at. `needed`: no run can work without it. `todo`: empty where it works."""

    name: str
    works: bool
    found: str
    todo: str = ""
    needed: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(directory: Path | None = None) -> list[Check]:
    """Every check, in the order a run meets them. directory: where run folders go (default: here)."""
    place = directory or Path.cwd()
    checks: tuple[Callable[[], Check], ...] = (
        _python, _cores, _memory, lambda: _disk(place), _torch, _precision, _gpu, _libraries, _ray,
        _scratch, _workers, _hub, _wandb,
    )  # fmt: skip
    return [check() for check in checks]


def to_text(checks: list[Check]) -> str:
    """One line a check, what to do below it, and whether a run can work."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = "ok  " if check.works else ("FAIL" if check.needed else "--  ")
        lines.append(f"{mark}  {check.name:<{width}}  {safe(check.found)}")
        if check.todo:
            lines.append(f"      {'':<{width}}  {safe(check.todo)}")
    missing = [check.name for check in checks if check.needed and not check.works]
    lines += ["", f"A run cannot work yet: mend {', '.join(missing)}." if missing else "A run can work here."]
    return "\n".join(lines)


def _python() -> Check:
    works = sys.version_info >= (3, 11)
    todo = "" if works else "Install Python 3.11 or newer"
    found = f"{platform.python_version()} on {platform.system()}"
    return Check(name="Python", works=works, found=found, todo=todo, needed=True)


def _cores() -> Check:
    return Check(name="cores", works=True, found=f"{usable_cores()} usable, {cpu_model()}")


def _memory() -> Check:
    total = memory_bytes()
    if total is None:
        return Check(name="memory", works=True, found="not known on this system")
    works = total >= _LEAST_MEMORY
    todo = "" if works else f"A run wants {_LEAST_MEMORY // _GIB} GiB; try --slots 1 and a small model"
    return Check(name="memory", works=works, found=f"{total / _GIB:.1f} GiB", todo=todo)


def _disk(place: Path) -> Check:
    free = shutil.disk_usage(place).free
    works = free >= _LEAST_FREE_DISK
    todo = (
        "" if works else f"A run wants {_LEAST_FREE_DISK // _GIB} GiB; make room, or choose another disk with --out"
    )
    return Check(name="disk", works=works, found=f"{free / _GIB:.1f} GiB free here", todo=todo)


def _torch() -> Check:
    version, reason = _imports("torch")
    if version is None:
        return Check(name="torch", works=False, found=reason, todo=_OWN, needed=True)
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = f"{version}, device {device}, {torch.get_num_threads()} threads"
    return Check(name="torch", works=True, found=found, needed=True)


def _precision() -> Check:
    if importlib.util.find_spec("torch") is None:
        return Check(name="precision", works=False, found="not known without torch")
    import torch

    from automl.models.blocks import autocast_dtype

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = str(autocast_dtype(device) or torch.float32).removeprefix("torch.")
    # Measured on a processor with avx512_bf16: training takes half the time of float32.
    found = f"{name} on {device.type}" + ("" if name == "bfloat16" else ", this device has no fast bfloat16")
    return Check(name="precision", works=True, found=found)


def _gpu() -> Check:
    names = gpus()
    if not names:
        return Check(name="GPU", works=False, found="none; a run uses the processor, with small models")
    import_works = _imports("torch")[0] is not None
    if import_works and not sys.modules["torch"].cuda.is_available():
        todo = "Install a torch build for this GPU's driver"
        return Check(name="GPU", works=False, found=f"{', '.join(names)}, but torch does not see it", todo=todo)
    return Check(name="GPU", works=True, found=", ".join(names))


def _libraries() -> Check:
    names = ("transformers", "tokenizers", "safetensors", "datasets", "optuna")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        found = f"not installed: {', '.join(missing)}"
        return Check(name="libraries", works=False, found=found, todo=_OWN, needed=True)
    versions = package_versions(names)
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Check(name="libraries", works=True, found=found, needed=True)


def _ray() -> Check:
    version = package_versions(("ray",))["ray"]
    if version is None:
        return Check(name="Ray", works=False, found="not installed", todo=_OWN, needed=True)
    # In a process of its own: Ray lives in search/, and importing it here would start its threads.
    tried = subprocess.run([sys.executable, "-c", "import ray.tune"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        reason = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
        return Check(name="Ray", works=False, found=f"does not import: {reason}", todo=_OWN, needed=True)
    from automl.search.joining import reach_cluster

    try:
        named = reach_cluster(None)
    except RequestError as refused:  # a run would refuse it too
        return Check(name="Ray", works=False, found=f"{version}, but {refused.found}", todo=refused.todo, needed=True)
    where = (
        "a run starts its own, on this machine" if named is None else f"a run joins the cluster at {named.address}"
    )
    return Check(name="Ray", works=True, found=f"{version}, a run {where}", needed=True)


def _scratch() -> Check:
    """Where a run's own Ray has its sockets and logs."""
    folder, name = folder_of_ray()
    problem = why_unusable(folder)
    if problem is None:
        return Check(name="scratch", works=True, found=f"Ray's sockets and logs go to {folder}")
    other, todo = other_folder(), f"Set RAY_TMPDIR to a folder of at most {LONGEST_FOLDER} characters"
    found = f"{name} ({folder}) {problem}"
    if other is None:
        return Check(name="scratch", works=False, found=found, todo=todo, needed=True)
    return Check(name="scratch", works=False, found=f"{found}; a run takes a folder in {other} instead", todo=todo)


def _workers() -> Check:
    """Through what the workers of a training would speak with each other, and whether they could share its model."""
    if _imports("torch")[0] is None:
        return Check(name="workers", works=False, found="not known without torch", todo=_OWN)
    from torch import cuda, distributed

    if not distributed.is_available():
        todo = "Leave out --workers, or install a torch build with torch.distributed"
        return Check(name="workers", works=False, found="this torch has no torch.distributed", todo=todo)
    backend = "nccl" if cuda.is_available() else "gloo"
    if backend == "nccl" and not distributed.is_nccl_available():
        todo = "Leave out --workers, or install a torch build with NCCL"
        return Check(name="workers", works=False, found="this torch has no NCCL for its GPUs", todo=todo)
    shards, reason = _imports("torch.distributed.fsdp")
    if shards is None:
        return Check(
            name="workers", works=False, found=reason, todo="Leave out --shard, or install torch 2.6 or newer"
        )
    return Check(
        name="workers", works=True, found=f"several exchange over {backend}; --shard spreads a model over them"
    )


def _hub() -> Check:
    """Whether model names of the Hugging Face hub can be looked up."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        todo = "Unset it to look up models; local folders and package:NAME work without"
        return Check(name="hub", works=False, found="offline: HF_HUB_OFFLINE is set", todo=todo)
    if importlib.util.find_spec("huggingface_hub") is None:
        return Check(name="hub", works=False, found="huggingface_hub is not installed", todo=_OWN)
    reason = _hub_refusal()
    if reason is None:
        return Check(name="hub", works=True, found="reachable")
    todo = "Give models as local folders or package:NAME, or set HF_ENDPOINT to a mirror"
    return Check(name="hub", works=False, found=f"not reachable within {HUB_SECONDS:.0f} s: {reason}", todo=todo)


def _hub_refusal() -> str | None:
    """Why the hub does not answer; None where it does."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            return None
    except urllib.error.HTTPError:
        return None  # it answered
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def _wandb() -> Check:
    version = package_versions(("wandb",))["wandb"]
    if version is None:
        found = "not installed; a run works without"
        return Check(name="W&B", works=False, found=found, todo="pip install 'automl[wandb]' for --wandb")
    from automl.tracking.wandb import has_key

    if has_key():
        return Check(name="W&B", works=True, found=f"{version}, a key is present")
    todo = "--wandb writes offline files; run `wandb login` to send them"
    return Check(name="W&B", works=True, found=f"{version}, no key", todo=todo)


def _imports(name: str) -> tuple[str | None, str]:
    """(version, "") of a package that really imports, else (None, why it does not)."""
    if importlib.util.find_spec(name) is None:
        return None, "not installed"
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a broken installation fails in its own way: a missing library, a wrong build
        return (
            None,
            f"does not import: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        )
    return str(getattr(module, "__version__", "unknown")), ""
