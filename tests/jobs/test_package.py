"""What travels to a cluster, and what never does."""

import os
from pathlib import Path
from typing import Any

import pytest

from automl.config import RunRequest, make_request
from automl.errors import RequestError
from automl.jobs import package
from automl.jobs.package import pack


def packed(folder: Path = Path("package"), **options: Any) -> set[str]:
    """The files of the package beside automl's own code."""
    folder.mkdir()
    pack(make_request({"out": "runs/r", **options}), folder)
    files = {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}
    return {file.as_posix() for file in files if file.parts[0] != "automl"}


def sent() -> RunRequest:
    return make_request({}, "package/request.yaml")


def write(name: str, text: str = "text,label\na,b\n") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_package_holds_the_named_files_the_request_and_the_code_and_nothing_else() -> None:
    for name in (".env", ".git/config", "runs/old/request.yaml", ".netrc", "notes.txt", "wandb/settings"):
        write(name, "WANDB_API_KEY=secret")
    write("data/train.csv")
    write("elsewhere/test.csv")
    found = packed(source="data/train.csv", test="elsewhere/test.csv", models="package:some,org/name")
    assert found == {"request.yaml", "files/source/train.csv", "files/test/test.csv"}
    assert (sent().source, sent().test) == ("files/source/train.csv", "files/test/test.csv")
    assert sent().models == ("package:some", "org/name")
    code = Path("package/automl")
    assert (code / "search_spaces" / "text_encoder_small.yaml").is_file()
    assert (code / "leaderboard" / "templates" / "report.html").is_file()
    assert not list(code.rglob("__pycache__"))


def test_of_a_folder_hidden_files_run_folders_keys_and_links_that_lead_out_stay_here() -> None:
    for name in ("pics/cat/1.jpg", "pics/dog/2.jpg", "pics/.env", "pics/.git/config", "pics/id_rsa", "pics/aws.pem"):
        write(name, "x")
    write("pics/runs/one/request.yaml", "x")
    write("pics/runs/one/data/profile.json", "x")
    write("outside/secret.txt", "x")
    os.symlink(Path("outside/secret.txt").resolve(), "pics/cat/linked.txt")
    os.symlink(Path("outside").resolve(), "pics/fish")
    Path("package").mkdir()
    left_out = pack(make_request({"source": "pics", "out": "runs/r"}), Path("package"))
    files = {file.relative_to("package/files").as_posix() for file in Path("package/files").rglob("*")}
    assert {name for name in files if Path("package/files", name).is_file()} == {
        "source/pics/cat/1.jpg",
        "source/pics/dog/2.jpg",
    }
    assert sent().source == "files/source/pics"
    assert [line.split()[0] for line in left_out] == ["pics/aws.pem", "pics/id_rsa"]


def test_a_pattern_travels_as_a_pattern_with_the_files_that_fit_it() -> None:
    for name in ("data/2023/a.csv", "data/2024/b.csv", "data/2024/b.txt"):
        write(name)
    assert packed(source="data/*/*.csv") == {"request.yaml", "files/source/2023/a.csv", "files/source/2024/b.csv"}
    assert sent().source == "files/source/*/*.csv"


@pytest.mark.parametrize(
    "source", ["s3://bucket/a.csv", "https://host/a.csv?download=true", "stanfordnlp/sst2", "/shared/data/a.csv"]
)
def test_what_every_machine_names_alike_is_not_touched(source: str) -> None:
    assert packed(source=source) == {"request.yaml"}
    assert sent().source == source


def test_a_models_folder_travels_and_two_of_one_name_do_not_collide() -> None:
    for name in ("one/bert/config.json", "two/bert/config.json"):
        write(name, "{}")
    found = packed(source="org/data", models="one/bert,two/bert")
    assert found == {"request.yaml", "files/models-0/bert/config.json", "files/models-1/bert/config.json"}
    assert sent().models == ("files/models-0/bert", "files/models-1/bert")


def test_more_than_the_limit_is_refused_with_the_file_and_the_ways_out() -> None:
    write("small.csv")
    with open("large.csv", "wb") as file:
        file.truncate(package.LIMIT_BYTES)  # a sparse file: nothing is written
    with pytest.raises(RequestError, match=r"100 MiB would travel .* large.csv; at most 100 MiB") as refused:
        packed(source="large.csv", test="small.csv")
    assert all(way in refused.value.todo for way in ("s3://", "file:///PATH", "package:NAME"))
    assert not list(Path("package").iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"source": "https://me:hunter2@host/a.csv"},
        {"source": "https://host/a.csv?X-Amz-Signature=hunter2"},
        {"source": "a/b", "test": "https://host/a.csv?api_key=hunter2"},
        {"source": "a/b", "notify": "https://hooks.slack.com/services/hunter2"},
        {"source": "a/b", "mlflow": "https://host/?token=hunter2"},
    ],
)
def test_a_secret_in_the_request_is_refused_and_not_repeated(options: dict[str, str]) -> None:
    with pytest.raises(RequestError) as refused:
        packed(**options)
    assert "hunter2" not in str(refused.value)
    assert not list(Path("package").iterdir())


def test_a_table_of_pictures_is_refused_because_the_pictures_would_stay_behind() -> None:
    write("pictures.csv")
    with pytest.raises(RequestError, match="--image file names pictures"):
        packed(source="pictures.csv", image="file")
