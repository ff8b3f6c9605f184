"""A storage: whole files or none, by names."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from automl.errors import RequestError, RunFolderError
from automl.storage import bundle
from automl.storage.bundle import NODE_CACHE, bundle_here, put_bundle
from automl.storage.place import Storage, run_url


def test_a_file_comes_back_as_it_was_put_by_url_and_by_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    by_path, by_url = Storage(str(tmp_path / "s")), Storage(f"file://{tmp_path}/s/")
    by_path.put(tmp_path / "file", "deep/er/file")
    assert by_url.read("deep/er/file") == b"x" * 100
    assert by_url.get("deep/er/file", tmp_path / "back" / "file")
    assert (tmp_path / "back" / "file").read_bytes() == b"x" * 100
    assert by_path.names() == by_url.names() == {"deep/er/file": 100}
    assert run_url(by_url.url, "run") == f"file://{tmp_path}/s/run"
    minio = "?endpoint_override=minio:9000&region=us-east-1"
    assert run_url(f"s3://bucket/runs/{minio}", "run") == f"s3://bucket/runs/run{minio}"


def test_what_is_not_there_is_none_and_is_not_made(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "s"))
    assert storage.read("a") is None
    assert not storage.get("a", tmp_path / "target" / "a")
    storage.drop("a")
    storage.drop_folder("a")
    assert storage.names("a") == {}
    assert not (tmp_path / "target").exists() or not list((tmp_path / "target").iterdir())


def test_a_copy_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise OSError("the line is dead")
            return super().read(3)

    storage = Storage(str(tmp_path))
    storage.put_bytes(b"old", "file")
    with pytest.raises(OSError, match="the line is dead"):
        storage.put_from(Breaks(b"new content"), "file")
    assert storage.read("file") == b"old"
    assert storage.names() == {"file": 3}


def test_no_more_is_put_than_a_file_held_when_it_was_opened(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.put_from(io.BytesIO(b"one line\nhalf a li"), "records", 9)
    assert storage.read("records") == b"one line\n"


@pytest.mark.parametrize("url", ["nowhere://bucket/x", "s4://bucket"])
def test_a_url_that_leads_nowhere_is_refused_with_what_would_do(url: str) -> None:
    with pytest.raises(RequestError, match=r"cannot be used: .*; a place that can be written .* Check --storage"):
        Storage(url)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RequestError, match="cannot be used"):
        Storage(str(tmp_path / "file" / "below")).check()


def test_a_bundle_is_put_once_and_fetched_once_by_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path / "s"))
    (tmp_path / "weights").write_bytes(b"w" * 1000)
    key = put_bundle(storage, {"model/weights": tmp_path / "weights"})
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "s").rglob("*") if file.is_file()}
    assert put_bundle(storage, {"model/weights": tmp_path / "weights"}) == key
    assert written == {file: file.stat().st_mtime_ns for file in (tmp_path / "s").rglob("*") if file.is_file()}
    for node in ("a", "b"):
        monkeypatch.setenv(NODE_CACHE, str(tmp_path / node))
        assert (bundle_here(storage, key) / "model" / "weights").read_bytes() == b"w" * 1000
    storage.drop_folder("bundles")
    assert bundle_here(storage, key).is_dir()  # the node has it, and asks no more


def test_a_bundle_that_is_not_whole_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "node"))
    storage = Storage(str(tmp_path / "s"))
    (tmp_path / "rows").write_bytes(b"rows")
    key = put_bundle(storage, {"rows": tmp_path / "rows"})
    storage.put_bytes(b"other rows", f"bundles/{key}/rows")
    with pytest.raises(RunFolderError, match="is not whole"):
        bundle_here(storage, key)
    assert not (tmp_path / "node" / "bundles" / key).exists()


def test_what_a_node_has_not_used_for_days_goes(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "old", (0, 0))
    bundle.mark_used(tmp_path / "new")
    assert [place.name for place in tmp_path.iterdir()] == ["new"]
