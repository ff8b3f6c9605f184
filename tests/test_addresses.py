"""What W&B, MLflow, a webhook or a storage would refuse in the middle of a run is refused with the request."""

from pathlib import Path

import pytest

from automl.addresses import mlflow_uri, storage_place, wandb_entity, wandb_project, web_address
from automl.cli import main
from automl.config import RunRequest, make_request
from automl.errors import RequestError


@pytest.mark.parametrize("name", ["a", "sentiment 2026", "Größe_1.0-x", "a" * 128])
def test_names_that_wandb_takes_are_taken(name: str) -> None:
    from wandb import Settings

    assert Settings(project=name).project == name
    assert wandb_project(name) is None


@pytest.mark.parametrize("name", ["a/b:c", "a#b", "a?b", "50%", "a:b", "a\\b", "a" * 129])
def test_names_that_wandb_refuses_are_refused(name: str) -> None:
    from wandb import Settings
    from wandb.errors import UsageError

    with pytest.raises(UsageError):
        Settings(project=name)
    assert wandb_project(name) is not None


def test_a_team_before_the_project_is_understood_as_such() -> None:
    assert wandb_project("team/project") == "has a team in it; give --wandb project --wandb-entity team"
    assert wandb_project("") == wandb_project(" ") == "is empty; expected the name of a W&B project"
    assert "holds \n" in str(wandb_project("a\nb"))
    assert wandb_entity("my-team_1") is None
    assert "wandb.ai/TEAM" in str(wandb_entity("https://wandb.ai/team"))


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1:5000", None),
        ("https://host/mlflow", None),
        ("sqlite:///runs.db", None),
        ("sqlite:////tmp/runs.db", None),
        ("mysql+pymysql://host/db", None),
        ("databricks", None),
        ("databricks://profile", None),
        ("mlruns", None),
        ("file:///tmp/mlruns", None),
        ("localhost:5000", "give http://localhost:5000"),
        ("127.0.0.1:5000/x", "give http://127.0.0.1:5000/x"),
        ("sqlite://runs.db", "three slashes"),
        ("sqlite:runs.db", "three slashes"),
        ("htp://host:5000", "the scheme 'htp'"),
        ("http://", "no address"),
        ("http://host:port", "no address"),
        ("http://my host:5000", "no address"),
        ("", "is empty"),
    ],
)
def test_places_of_mlflow(uri: str, reason: str | None) -> None:
    found = mlflow_uri(uri)
    assert found is None if reason is None else reason in str(found)


def test_addresses_of_webhooks_and_storages() -> None:
    assert web_address("https://hooks.slack.com/services/T/B/x") is None
    assert all(
        web_address(one) for one in ("hooks.slack.com", "http:/host", "https://", "ftp://a", "http://[::1", "")
    )
    assert all(storage_place(one) is None for one in ("s3://bucket/x", "runs/kept", "/mnt/all", "file:///mnt", "C:x"))
    assert all("BUCKET" in str(storage_place(one)) for one in ("s3:/bucket/x", "s3://", "gs:bucket", "S3:///x", " "))


def test_all_that_is_wrong_is_told_at_once_and_a_secret_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    words = "run a.csv --wandb a/b:c --mlflow localhost:5000 --notify https://:secret@ --storage s3:/b".split()
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("automl: 4 options are wrong:\n  - --wandb a/b:c holds / :; W&B takes none of")
    assert "secret" not in shown
    assert not list(Path.cwd().iterdir())
    with pytest.raises(RequestError, match="--wandb-entity a/b holds /"):
        make_request({"source": "a.csv", "wandb": "x", "wandb_entity": "a/b"})


def test_a_run_folder_of_before_is_still_read() -> None:
    assert RunRequest.model_validate({"source": "a.csv", "wandb": "a/b:c"}).wandb == "a/b:c"
