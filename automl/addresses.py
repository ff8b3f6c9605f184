"""What names a service outside: whether it can be right, by its form alone. Nothing is asked there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

_REFUSED_BY_WANDB = "/\\#?%:"
_LONGEST_PROJECT = 128
_OBJECT_STORES = ("s3", "gs", "gcs", "hdfs", "abfs", "abfss", "http", "https")
_MLFLOW = ("http", "https", "file", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc")
_SCHEME = re.compile(r"([a-z][a-z0-9.+-]*):", re.IGNORECASE)
_HOST_PORT = re.compile(r"[\w.-]+:\d+(/.*)?")


def wandb_project(name: str) -> str | None:
    """Why W&B would refuse a project's name; None where it takes it."""
    if not name.strip():
        return "is empty; expected the name of a W&B project"
    if "/" in name and not set(_REFUSED_BY_WANDB) & set(name.replace("/", "", 1)):
        entity, _, project = name.partition("/")
        return f"has a team in it; give --wandb {project or 'PROJECT'} --wandb-entity {entity or 'TEAM'}"
    if refused := _refused_signs(name):
        return f"holds {refused}; W&B takes none of {' '.join(_REFUSED_BY_WANDB)} in a project's name"
    if len(name) > _LONGEST_PROJECT:
        return f"has {len(name)} characters; W&B takes {_LONGEST_PROJECT} at most"
    return None


def wandb_entity(name: str) -> str | None:
    """Why a name can be no user or team of W&B."""
    if not name.strip():
        return "is empty; expected a W&B user or team"
    if refused := _refused_signs(name):
        return f"holds {refused}; expected the W&B user or team alone, as in wandb.ai/TEAM"
    return None


def _refused_signs(name: str) -> str:
    return " ".join(sign for sign in dict.fromkeys(name) if sign in _REFUSED_BY_WANDB or not sign.isprintable())


def web_address(address: str) -> str | None:
    """Why something is no address of a web server."""
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number, brackets that do not close
        good = False
    return None if good and not re.search(r"\s", address) else "is no address such as https://HOST/PATH"


def mlflow_uri(uri: str) -> str | None:
    """Why MLflow would refuse a place to track to."""
    if _HOST_PORT.fullmatch(uri):
        return f"names no scheme; give http://{uri}"
    if not (found := _SCHEME.match(uri)):
        return None if uri.strip() else "is empty; expected http://HOST:5000 or sqlite:///FILE.db"
    scheme = found[1].lower().partition("+")[0]
    if scheme in ("http", "https"):
        return web_address(uri)
    if scheme not in _MLFLOW:
        return f"has the scheme {found[1]!r}; MLflow takes {', '.join(_MLFLOW)}"
    if scheme == "sqlite" and not uri.partition(":")[2].startswith("///"):
        return "needs three slashes before its file, such as sqlite:///runs.db"
    return None


def storage_place(url: str) -> str | None:
    """Why a place for a run's files cannot be meant as it stands; a mistyped address would be a folder's name."""
    if not url.strip():
        return "is empty; expected s3://BUCKET/PATH, gs://BUCKET/PATH or a path that all nodes see"
    found = _SCHEME.match(url)
    if found and found[1].lower() in _OBJECT_STORES and not urlsplit(url).netloc:
        return f"has no bucket; expected {found[1].lower()}://BUCKET/PATH"
    return None


_LOOKS: dict[str, Callable[[str], str | None]] = {
    "wandb": wandb_project,
    "wandb_entity": wandb_entity,
    "mlflow": mlflow_uri,
    "notify": web_address,
    "storage": storage_place,
}
_SECRET = ("notify",)


def wrong_addresses(value_of: Callable[[str], str | None]) -> Iterator[str]:
    """One sentence for every option of a request that names something outside and cannot be right.

    value_of: an option's value by its name, None where it is not given. Secrets are not repeated.
    """
    for option, look in _LOOKS.items():
        value = value_of(option)
        if value is not None and (reason := look(value)) is not None:
            shown = "" if option in _SECRET or "@" in value else f" {value[:60]}"
            yield f"--{option.replace('_', '-')}{shown} {reason}"
