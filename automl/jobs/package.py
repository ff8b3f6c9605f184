"""What travels to a cluster: automl's code, the request, and the files that it names, and nothing else."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from automl.config import RunRequest
from automl.errors import RequestError
from automl.search.space import shipped_directory

LIMIT_BYTES = 100 << 20
"""Of the files that a request names, together: the head keeps them in memory, and every node gets a copy."""
REQUEST = "request.yaml"
FILES = "files"
_URL = re.compile(r"[a-z][a-z0-9+.-]+(://|::)", re.IGNORECASE)
_SIGNED = re.compile(r"(^|[&;?])[^=&;]*(sig|signature|token|key|secret|credential|password)[^=&;]*=", re.IGNORECASE)
_KEYS = re.compile(r"(id_(rsa|dsa|ecdsa|ed25519)|credentials?|.*\.(pem|key|p12|pfx|kdbx))(\..*)?", re.IGNORECASE)
_FILE_OPTIONS = ("source", "validation", "test", "search_spaces")


@dataclass(frozen=True, kw_only=True)
class Named:
    """What an option names on this machine.

    given: the option's value here; called: in the package. files: what travels, each below `root`, which becomes
    `into` there.
    """

    given: str
    called: Path
    root: Path
    into: Path
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        return sum(file.stat().st_size for file in self.files)


def pack(request: RunRequest, folder: Path) -> list[str]:
    """Fill an empty folder with all that the run needs; what was left out of it, one sentence each.

    Raises RequestError where the request holds a secret, needs what cannot travel, or names more than LIMIT_BYTES.
    """
    values, named, left_out = request.model_dump(mode="json"), [], []
    _refuse_secrets(request)
    if request.image is not None:
        raise RequestError(
            f"--image {request.image} names pictures one by one, and they would not travel with the table",
            "a folder of pictures for each class, an archive, or data that all nodes see",
            "Give such a SOURCE, or an address such as s3://",
        )
    for option in _FILE_OPTIONS:
        if (given := values[option]) and (found := _find(option, given)):
            named.append(found)
            values[option] = found.called.as_posix()
    values["models"] = []
    for number, model in enumerate(request.models):
        found = _find(f"models-{number}", model) if Path(model).expanduser().is_dir() else None
        named += [found] if found else []
        values["models"].append(found.called.as_posix() if found else model)
    _refuse_size(named)
    for one in named:
        left_out += _copy(one, folder)
    pack_code(folder)
    (folder / REQUEST).write_text(RunRequest.model_validate(values).to_yaml(), encoding="utf-8")
    return left_out


def pack_code(folder: Path) -> None:
    """Put automl itself into a folder, with the search spaces where an installed package has them."""
    code = Path(__file__).parents[1]
    ignored = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
    shutil.copytree(code, folder / code.name, ignore=ignored)
    spaces = folder / code.name / "search_spaces"
    if not spaces.exists():
        shutil.copytree(shipped_directory(), spaces, ignore=ignored)


def _refuse_secrets(request: RunRequest) -> None:
    if request.notify is not None:
        raise RequestError(
            "--notify is a secret, and whoever may look at the cluster sees what is sent there",
            "a webhook that the cluster knows",
            "Set AUTOML_NOTIFY where the head is started",
        )
    for option in (*_FILE_OPTIONS, "mlflow"):
        parts = urlsplit(getattr(request, option) or "")
        if parts.scheme and ("@" in parts.netloc or _SIGNED.search(parts.query)):
            raise RequestError(
                f"--{option} is an address with a password or a signature" if option != "source" else
                "SOURCE is an address with a password or a signature",
                "an address alone: whoever may look at the cluster sees what is sent there",
                "Keep the credentials in the cluster's environment or roles, where s3fs, gcsfs and their likes look",
            )  # fmt: skip


def _find(option: str, given: str) -> Named | None:
    """What an option names on this machine; None for what is named the same everywhere: addresses, hub names."""
    if _URL.match(given):
        return None
    path, into = Path(given).expanduser(), Path(FILES) / option
    if path.is_file():
        return Named(given=given, called=into / path.name, root=path.parent, into=into, files=(path,))
    if path.is_dir():
        into = into / (path.resolve().name or "data")
        return Named(given=given, called=into, root=path, into=into, files=tuple(_below(path)))
    files = [Path(one) for one in sorted(glob.glob(str(path), recursive=True)) if os.path.isfile(one)]
    if files:
        root = Path(*_until_a_mark(path))
        return Named(given=given, called=into / path.relative_to(root), root=root, into=into, files=tuple(files))
    return None


def _until_a_mark(path: Path) -> Iterator[str]:
    for part in path.parts:
        if any(mark in part for mark in "*?["):
            return
        yield part


def _below(folder: Path) -> Iterator[Path]:
    """The files of a folder, without hidden ones, run folders, and links that lead out of it."""
    root = folder.resolve()
    for directory, names, files in os.walk(folder):
        here = Path(directory)
        names[:] = sorted(name for name in names if not name.startswith(".") and not _is_run(here / name))
        for name in sorted(files):
            file = here / name
            if not name.startswith(".") and file.is_file() and file.resolve().is_relative_to(root):
                yield file


def _is_run(folder: Path) -> bool:
    return (folder / REQUEST).is_file() and (folder / "data").is_dir()


def _refuse_size(named: list[Named]) -> None:
    size = sum(one.size for one in named)
    if size <= LIMIT_BYTES:
        return
    largest = max(named, key=lambda one: one.size)
    raise RequestError(
        f"{size / 2**20:,.0f} MiB would travel with the job, most of it {largest.given}",
        f"at most {LIMIT_BYTES >> 20} MiB, for the head keeps them in memory",
        "Put the data where all nodes see it, and give SOURCE as s3://, gs://, https:// or file:///PATH; "
        "models by their hub id or package:NAME",
    )


def _copy(named: Named, folder: Path) -> list[str]:
    """Copy what an option names into the package; files that look like keys stay here."""
    left_out = []
    for file in named.files:
        if _KEYS.fullmatch(file.name):
            left_out.append(f"{file} looks like a key and stays here")
            continue
        target = folder / named.into / file.relative_to(named.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return left_out


def told(request: RunRequest) -> dict[str, Any]:
    """What the job says of itself to whoever may look at the cluster."""
    from automl import __version__

    return {"automl": __version__, "run": str(request.out)}
