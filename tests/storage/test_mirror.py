"""A folder kept in a storage: causes before effects, deletions last, and one driver at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import RunFolderError
from automl.storage.lease import LEASE_SECONDS, Lease
from automl.storage.mirror import Mirror
from automl.storage.place import Storage


class Watched(Storage):
    """A storage that tells the order of what was put, and breaks when it is told to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.put_names: list[str] = []
        self.breaks_at: str | None = None
        self.meanwhile = lambda: None

    def put_from(self, source: object, name: str, size: int | None = None) -> None:
        self.meanwhile()
        if name == self.breaks_at:
            raise OSError("the line is dead")
        self.put_names.append(name)
        super().put_from(source, name, size)  # type: ignore[arg-type]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def mirror_of(here: Path, storage: Storage) -> Mirror:
    records = (here / "trials.jsonl", here / "started.jsonl")  # nothing ended that had not been started
    return Mirror(storage, here, records, lambda: here.glob("*.npz"))


def test_no_copy_ever_holds_an_effect_without_its_cause(here: Path, tmp_path: Path) -> None:
    storage = Watched(str(tmp_path / "s"))
    mirror = mirror_of(here, storage)
    for name in ("started.jsonl", "trials.jsonl"):
        (here / name).write_text("1\n")
    (here / "1.npz").write_text("predictions")

    def a_second_training_starts_and_ends() -> None:
        (here / "started.jsonl").write_text("1\n2\n")
        (here / "trials.jsonl").write_text("1\n2\n")

    storage.meanwhile = a_second_training_starts_and_ends
    mirror.sync()
    assert storage.put_names == ["1.npz", "started.jsonl", "trials.jsonl"]
    assert storage.read("trials.jsonl") == b"1\n"
    storage.breaks_at, storage.meanwhile = "trials.jsonl", lambda: None
    with pytest.raises(OSError, match="the line is dead"):
        mirror.sync()
    assert (storage.read("started.jsonl"), storage.read("trials.jsonl")) == (b"1\n2\n", b"1\n")
    storage.breaks_at = None
    mirror.sync()
    assert storage.read("trials.jsonl") == b"1\n2\n"


def test_what_has_not_changed_is_not_copied_again_and_what_is_gone_goes(here: Path, tmp_path: Path) -> None:
    storage = Watched(str(tmp_path / "s"))
    mirror = mirror_of(here, storage)
    (here / "1.npz").write_text("predictions")
    mirror.sync()
    mirror.sync()
    assert storage.put_names == ["1.npz"]
    (here / "1.npz").unlink()
    mirror.sync()
    assert storage.names() == {}


def test_a_checkpoint_goes_only_once_the_record_of_its_training_is_there(here: Path, tmp_path: Path) -> None:
    storage = Watched(str(tmp_path / "s"))
    storage.put_bytes(b"state", "checkpoints/1.resume.pt")
    mirror = mirror_of(here, storage)
    (here / "trials.jsonl").write_text("1\n")
    mirror.drop_later("checkpoints/1.resume.pt")
    storage.breaks_at = "trials.jsonl"
    with pytest.raises(OSError, match="the line is dead"):
        mirror.sync()
    assert storage.read("checkpoints/1.resume.pt") == b"state"
    storage.breaks_at = None
    mirror.sync()
    assert storage.read("checkpoints/1.resume.pt") is None


def test_a_file_that_a_node_has_put_is_fetched_and_not_put_again(here: Path, tmp_path: Path) -> None:
    storage = Watched(str(tmp_path / "s"))
    storage.put_bytes(b"predictions", "1.npz")
    mirror = mirror_of(here, storage)
    assert mirror.fetch("1.npz")
    storage.put_names.clear()
    mirror.sync()
    assert storage.put_names == []
    assert not mirror.fetch("2.npz")


def test_the_thread_copies_by_itself_and_closing_copies_the_rest(here: Path, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "s"))
    mirror = mirror_of(here, storage)
    mirror.start()
    (here / "trials.jsonl").write_text("1\n")
    mirror.close()
    assert storage.read("trials.jsonl") == b"1\n"


def test_a_second_driver_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    first = Lease(storage)
    first.take()
    second = Lease(storage, wait=lambda seconds: first.renew())
    with pytest.raises(RunFolderError, match=r"is in use by the driver on .*; one driver at a time\. Wait for it"):
        second.take()
    first.release()
    second.take()  # at once: the first one took leave


def test_a_driver_that_shows_no_life_is_followed_and_cannot_come_back(tmp_path: Path) -> None:
    storage, notes, waited = Storage(str(tmp_path)), [], []
    dead = Lease(storage)
    dead.take()
    heir = Lease(storage, wait=waited.append)
    heir.take(notes.append)
    assert sum(waited) == LEASE_SECONDS
    assert "a sign of life" in notes[0]
    with pytest.raises(RunFolderError, match="is in use"):
        dead.renew()
    dead.release()  # which is not its own any more
    heir.renew()
