"""A run folder brought from a head: whole, resumable, and never anywhere else."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.errors import ClusterError, RunFolderError
from automl.jobs.fetch import default_out, fetch, read_manifest, safe_target
from automl.jobs.remote import list_files


@pytest.fixture
def there() -> Path:
    """A run folder as it may lie on a head."""
    folder = Path("there")
    files = {
        "request.yaml": "source: a\nout: runs/r\n",
        "trials.jsonl": '{"id": 1}\n',
        "test_access.jsonl": '{"who": "run"}\n',
        ".ends/test_access.jsonl": "abc",
        "models/a/model.safetensors": "weights" * 999,
        "empty.txt": "",
        "predictions/ä b.npz": "numbers",
        "checkpoints/c.pt": "c",
        "cache/x.bin": "x",
        ".lock": "",
        ".spare": "0",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    os.symlink("/etc", folder / "elsewhere")
    os.symlink("/etc/hostname", folder / "predictions" / "host")
    return folder


def manifest(folder: Path, everything: bool = False) -> bytes:
    return json.dumps({"files": list(list_files(folder, everything))}).encode()


class Head:
    """Hands out the files of a folder in small blocks. asked: for which."""

    def __init__(self, folder: Path, breaks_after: int | None = None) -> None:
        self.folder, self.left, self.asked = folder, breaks_after, list[str]()

    def __call__(self, name: str) -> Iterator[bytes]:
        if self.left is not None and self.left <= len(self.asked):
            raise ClusterError("the line is cut", "", "")
        self.asked.append(name)
        content = (self.folder / name).read_bytes()
        return (content[at : at + 1000] for at in range(0, len(content), 1000))


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_a_run_folder_arrives_without_caches_locks_and_links(there: Path) -> None:
    done = fetch(manifest(there), Head(there), Path("runs/r"))
    wanted = {name for name in names(there) if name.split("/")[0] not in ("checkpoints", "cache", "elsewhere")}
    assert names(Path("runs/r")) == wanted - {".spare", "predictions/host"}
    for name in names(Path("runs/r")) - {".lock"}:
        assert Path("runs/r", name).read_bytes() == (there / name).read_bytes()
    assert (done.files, done.present) == (7, 0)


def test_everything_is_everything_but_locks_and_links(there: Path) -> None:
    fetch(manifest(there, everything=True), Head(there), Path("r"))
    assert {"checkpoints/c.pt", "cache/x.bin"} <= names(Path("r"))
    assert not Path("r/elsewhere").exists()


def test_a_fetch_that_broke_off_goes_on_where_it_was(there: Path) -> None:
    with pytest.raises(ClusterError, match="the line is cut"):
        fetch(manifest(there), Head(there, breaks_after=3), Path("r"))
    assert Path("r/request.yaml").exists()  # came first: whose folder it is shows from the start
    again = Head(there)
    done = fetch(manifest(there), again, Path("r"))
    assert (done.files, done.present) == (4, 3)
    assert "request.yaml" not in again.asked
    assert not Path("r/.fetching").exists()


def test_a_second_fetch_brings_what_is_new_and_nothing_else(there: Path) -> None:
    fetch(manifest(there), Head(there), Path("r"))
    with open(there / "trials.jsonl", "a", encoding="utf-8") as file:
        file.write('{"id": 2}\n')
    later = Head(there)
    fetch(manifest(there), later, Path("r"))
    assert later.asked == ["trials.jsonl"]
    assert Path("r/trials.jsonl").read_bytes() == (there / "trials.jsonl").read_bytes()


def test_records_that_grow_while_they_are_fetched_arrive_as_they_were_listed(there: Path) -> None:
    listed = manifest(there)
    with open(there / "trials.jsonl", "a", encoding="utf-8") as file:
        file.write('{"id": 2}\n')
    fetch(listed, Head(there), Path("r"))
    assert Path("r/trials.jsonl").read_text(encoding="utf-8") == '{"id": 1}\n'


@pytest.mark.parametrize("content", ["tampered with", ""])
def test_a_file_that_came_otherwise_than_listed_is_not_kept(there: Path, content: str) -> None:
    listed = manifest(there)
    (there / "predictions" / "ä b.npz").write_text(content, encoding="utf-8")
    with pytest.raises(ClusterError, match="came otherwise than it was listed"):
        fetch(listed, Head(there), Path("r"))
    assert not Path("r/predictions/ä b.npz").exists()


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up", "a/../../up", "a/./b", "a//b", "", ".", "C:/x", "a\\b", "a\0b", "a/"]
)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(ClusterError, match="Do not trust this head"):
        safe_target(Path("r"), name)


def test_nothing_is_written_through_a_link(there: Path) -> None:
    Path("r").mkdir()
    Path("private").mkdir()
    os.symlink(Path("private").resolve(), "r/models")
    (Path("r") / "request.yaml").write_bytes((there / "request.yaml").read_bytes())
    with pytest.raises(ClusterError, match="Do not trust this head"):
        fetch(manifest(there), Head(there), Path("r"))
    assert not list(Path("private").iterdir())


@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": [1]}', '{"files": []}', '{"files": [{"path": "request.yaml", "bytes": 1}]}']
)
def test_a_garbled_list_is_refused(text: str) -> None:
    with pytest.raises(ClusterError, match="garbled"):
        fetch(text.encode(), Head(Path()), Path("r"))


def test_a_list_without_end_is_refused() -> None:
    with pytest.raises(ClusterError, match="garbled"):
        read_manifest(iter([b"x" * 10] * 3), most_bytes=25)


def test_another_runs_folder_is_left_alone(there: Path) -> None:
    Path("r").mkdir()
    Path("r/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunFolderError, match="r is not empty"):
        fetch(manifest(there), Head(there), Path("r"))
    Path("r/request.yaml").write_text("source: other\n", encoding="utf-8")
    with pytest.raises(RunFolderError, match="r holds another run"):
        fetch(manifest(there), Head(there), Path("r"))


def test_openings_that_were_logged_here_stay_and_other_records_that_went_on_here_stop_it(there: Path) -> None:
    fetch(manifest(there), Head(there), Path("r"))
    with open("r/test_access.jsonl", "a", encoding="utf-8") as file:
        file.write('{"who": "verify"}\n')
    Path("r/.ends/test_access.jsonl").write_text("def", encoding="utf-8")
    assert fetch(manifest(there), Head(there), Path("r")).files == 0
    assert Path("r/.ends/test_access.jsonl").read_text(encoding="utf-8") == "def"
    with open("r/trials.jsonl", "a", encoding="utf-8") as file:
        file.write('{"id": 2}\n')
    with pytest.raises(RunFolderError, match="trials.jsonl has lines that the cluster's run has not"):
        fetch(manifest(there), Head(there), Path("r"))


def test_a_manifest_tells_the_hash_and_size_of_each_file(there: Path) -> None:
    told: dict[str, dict[str, Any]] = {one["path"]: one for one in list_files(there, False)}
    content = (there / "models/a/model.safetensors").read_bytes()
    assert told["models/a/model.safetensors"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert next(iter(told)) == "request.yaml"


@pytest.mark.parametrize(
    ("run", "out"),
    [
        ("runs/r", "runs/r"),
        ("/shared/runs/r", "runs/r"),
        ("../../etc", "runs/etc"),
        ("a/..", "runs/job-1"),
        ("", "runs/job-1"),
    ],
)
def test_a_run_goes_where_it_would_lie_had_it_been_run_here(run: str, out: str) -> None:
    assert default_out({"run": run}, "job-1") == Path(out)
