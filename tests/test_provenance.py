import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl import provenance


def git(directory: Path, *words: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *author, *words], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_environment_is_plain_json_with_the_machine_and_versions() -> None:
    told = json.loads(json.dumps(provenance.environment()))
    assert told["versions"]["numpy"] == provenance.package_versions(["numpy"])["numpy"]
    assert told["cores"] >= 1
    assert told["memory_bytes"] > 2**28
    assert told["cpu"]


def test_no_environment_variable_and_no_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-secret-that-stays-here")
    told = json.dumps(provenance.environment())
    assert "a-secret-that-stays-here" not in told
    assert os.path.expanduser("~") not in told


def test_the_versions_sha_changes_with_a_version_and_with_nothing_else() -> None:
    versions = {"torch": "2.1", "numpy": "2.0"}
    assert provenance.versions_sha(versions) == provenance.versions_sha(dict(reversed(versions.items())))
    assert provenance.versions_sha(versions) != provenance.versions_sha(versions | {"torch": "2.2"})
    assert provenance.versions_sha() == provenance.versions_sha(provenance.package_versions())


def test_a_missing_package_has_no_version() -> None:
    assert provenance.package_versions(["no-such-package-at-all"]) == {"no-such-package-at-all": None}


def test_git_state_tells_the_commit_and_whether_files_were_changed(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "a.txt").write_text("one")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "a.txt").write_text("two")
    assert provenance.git_state(tmp_path) == {"commit": commit, "dirty": True}


def test_versions_are_read_without_importing_the_packages() -> None:
    program = (
        "import sys; from automl.provenance import environment; environment(); "
        "print([name for name in ('torch', 'ray', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_a_folder_has_the_same_hash_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "weights.bin").write_bytes(b"\0\1\2")
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "two" / ".cache").write_text("not part of it")
    same = provenance.hash_folder(tmp_path / "one")
    assert provenance.hash_folder(tmp_path / "two") == same
    (tmp_path / "two" / "config.json").write_text("{ }")
    assert provenance.hash_folder(tmp_path / "two") != same


def test_renaming_a_file_changes_the_hash_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = provenance.hash_folder(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert provenance.hash_folder(tmp_path) != before


def test_a_file_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert provenance.hash_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")
