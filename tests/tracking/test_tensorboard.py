"""TensorBoard's event files, read back record by record."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.errors import MissingExtra
from automl.tracking import tensorboard as tracking
from automl.tracking.base import Tracker
from automl.tracking.tensorboard import TensorBoardTracker
from tests.tracking.contract import Seen, TrackerContract
from tests.tracking.followed import info, result, row, spec

pytest.importorskip("tensorboardX")
from tensorboardX.proto.event_pb2 import Event  # noqa: E402
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData  # noqa: E402


def events(directory: Path) -> Iterator[Any]:
    """Every event of a folder: each record is a length, its checksum, the event, its checksum."""
    for file in sorted(directory.glob("events.out.*")):
        data, position = file.read_bytes(), 0
        while position < len(data):
            (length,) = struct.unpack_from("<Q", data, position)
            yield Event.FromString(data[position + 12 : position + 12 + length])
            position += 12 + length + 4


class TestTensorBoard(TrackerContract):
    def make(self, directory: Path, lines: list[str]) -> Tracker:
        return TensorBoardTracker(lines.append)

    def read(self, directory: Path) -> dict[str, Seen]:
        root, seen = directory / "tensorboard", dict[str, Seen]()
        for folder in sorted({file.parent for file in root.rglob("events.out.*")}):
            curve, rate, told, system = dict[int, float](), None, "", dict[tuple[int, str], float]()
            for event in events(folder):
                for value in event.summary.value:
                    if value.tag == "accuracy":
                        curve[event.step] = value.simple_value
                    elif value.tag.startswith("system/"):
                        system[event.step, value.tag] = value.simple_value
                    elif value.tag == "status/text_summary":
                        told += value.tensor.string_val[0].decode()
                    elif value.tag == "_hparams_/session_start_info":
                        data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                        rate = data.session_start_info.hparams["learning_rate"].number_value
            seen[str(folder.relative_to(root))] = Seen(sorted(curve.items()), rate, told, system)
        return seen


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"automl\[tensorboard\]"):
        TensorBoardTracker()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_ends_the_tracking_with_one_line_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write to /dev/full says that no space is left, as a disk does that is full."""
    from tensorboardX import record_writer

    monkeypatch.setattr(record_writer, "open_file", lambda path: open("/dev/full", "wb"))
    lines: list[str] = []
    tracker = TensorBoardTracker(lines.append)
    tracker.start(info(tmp_path))
    for number in range(30):  # more events than any queue of tensorboardX holds
        trial = spec(f"x-{number}", number=number)
        tracker.trial_reported(trial, row(80, 0.6))
        tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6)))
    tracker.close("done")
    [line] = lines
    assert line.startswith("TensorBoard tracking stopped (OSError: [Errno 28] No space left on device")
