import json
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from automl import doctor
from automl.doctor import Check, examine, to_text

HUB_PORT_WHERE_NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    return examine()


def found(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_everything_that_a_run_needs_works_in_the_test_environment(checks: list[Check]) -> None:
    assert all(check.works for check in checks if check.needed)
    assert {"Python", "torch", "Ray", "libraries"} == {check.name for check in checks if check.needed}


def test_what_workers_exchange_over_is_told(checks: list[Check]) -> None:
    assert found(checks, "workers").works
    assert found(checks, "workers").found.startswith("several exchange over ")


def test_what_does_not_work_says_what_to_do_or_what_happens_instead(checks: list[Check]) -> None:
    assert all(check.todo or ";" in check.found for check in checks if not check.works)


def test_offline_is_obeyed_without_asking_the_network(checks: list[Check]) -> None:
    assert found(checks, "hub").found == "offline: HF_HUB_OFFLINE is set"


def test_an_unreachable_hub_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "ENDPOINT", HUB_PORT_WHERE_NOBODY_LISTENS)
    check = doctor._hub()
    assert not check.works
    assert "refused" in check.found
    assert "package:NAME" in check.todo


def test_a_wandb_key_is_noticed_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789secret")
    text = to_text([doctor._wandb()])
    assert "a key is present" in text
    assert "0123456789secret" not in text


def test_without_a_wandb_key_the_way_to_get_one_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert "wandb login" in doctor._wandb().todo


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10, 9, 1 << 30))
    check = doctor._disk(tmp_path)
    assert not check.works
    assert "--out" in check.todo


def test_a_missing_necessity_is_named_in_the_last_line() -> None:
    broken = Check(name="torch", works=False, found="not installed", todo="pip install it", needed=True)
    fine = Check(name="Python", works=True, found="3.11", needed=True)
    lines = to_text([fine, broken]).splitlines()
    assert lines[-1] == "A run cannot work yet: mend torch."
    assert lines[1].startswith("FAIL")
    assert "pip install it" in lines[2]


def test_the_checks_are_plain_json(checks: list[Check]) -> None:
    assert json.loads(json.dumps([check.to_json() for check in checks]))[0]["name"] == "Python"


def test_a_cluster_that_is_gone_is_told_as_a_run_would_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    check = doctor._ray()
    assert not check.works
    assert check.needed
    assert f"RAY_ADDRESS {address}: connection refused" in check.found
    assert "Unset RAY_ADDRESS" in check.todo


def test_a_folder_that_is_too_deep_for_sockets_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("long" * 30)))
    check = doctor._scratch()
    assert (check.works, check.needed) == (False, False)
    assert "; a run takes a folder in " in check.found
    assert "RAY_TMPDIR" in check.todo
    monkeypatch.setattr(doctor, "other_folder", lambda: None)
    assert doctor._scratch().needed
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert doctor._scratch().works
