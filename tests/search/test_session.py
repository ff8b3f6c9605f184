"""A Ray of the run's own lives in a folder that it can live in, and leaves nothing in the home folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl.errors import RequestError
from automl.scratch import LONGEST_FOLDER, folder_of_ray, other_folder, why_unusable
from automl.search import session


def deep(folder: Path) -> Path:
    """A folder whose name is longer than Ray's sockets leave room for."""
    found = folder / "a-job-of-slurm-with-a-long-name" / "another-folder-in-it"
    found.mkdir(parents=True, exist_ok=True)
    return found


ALONE = """
import os, sys
from pathlib import Path
import ray
from automl.search import session

before, notes = dict(os.environ), []
with session.ray_session(None, notes.append):
    place = Path(ray._private.worker._global_node.get_session_dir_path()).parent
    assert ray.cluster_resources()["CPU"] >= 1
[note] = notes
assert note.startswith(f"Ray's files are in {place} meanwhile: TMPDIR ({os.environ['TMPDIR']}) has "), note
assert not place.exists()
assert not list(Path.home().iterdir()), sorted(map(str, Path.home().rglob("*")))  # neither a token nor settings
assert {name: os.environ.get(name) for name in before} == before
assert "RAY_AUTH_TOKEN" not in os.environ
"""


def test_a_ray_starts_where_the_temporary_folder_is_too_deep(tmp_path: Path) -> None:
    """In a process of its own: Ray keeps what an earlier one of the process had."""
    home = tmp_path / "home"
    home.mkdir()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    variables |= {"HOME": str(home), "TMPDIR": str(deep(tmp_path))}
    told = subprocess.run([sys.executable, "-c", ALONE], env=variables, capture_output=True, text=True, timeout=240)
    assert told.returncode == 0, told.stderr[-2_000:]


def test_what_keeps_ray_from_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl.scratch.LONGEST_FOLDER", 4_000)
    assert why_unusable(tmp_path) is None
    assert why_unusable(tmp_path / "none") == "does not exist"
    (tmp_path / "file").touch()
    assert why_unusable(tmp_path / "file") == "is no folder"
    assert str(why_unusable(Path("/proc"))).startswith("cannot be written (")
    monkeypatch.setattr("automl.scratch.LEAST_FREE_BYTES", 1 << 60)
    assert str(why_unusable(tmp_path)).endswith(" MiB free")
    assert not (tmp_path / "none").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    monkeypatch.undo()
    letters = tmp_path / ("ä" * LONGEST_FOLDER)  # a path is counted in bytes
    assert str(why_unusable(letters)).endswith(f"and Ray's sockets leave {LONGEST_FOLDER}")


def test_the_folder_is_the_one_that_ray_takes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._common.utils import get_default_system_temp_dir

    monkeypatch.delenv("TMPDIR", raising=False)
    for name in ("the folder for temporary files", "TMPDIR", "RAY_TMPDIR"):
        if name.isupper():
            monkeypatch.setenv(name, f"/{name}")
        found, named_by = folder_of_ray()
        assert (str(found), named_by) == (get_default_system_temp_dir(), name)
    assert other_folder() is not None


def test_a_machine_without_any_such_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(deep(tmp_path)))
    monkeypatch.setattr(session, "other_folder", lambda: None)
    with pytest.raises(RequestError, match="RAY_TMPDIR .* no other folder will do"), session.ray_session(None):
        pass
