"""A training on a fold is the training on the same rows as parts of their own, to the bit; all share caches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from automl.config import make_request
from automl.data.folds import read_fold
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part
from automl.data.write import write_arrow
from automl.training.clock import SlotClock
from automl.training.encoded import EncodedPart
from automl.training.fit import Training
from automl.types import Contender, PreparedData, TrialSpec
from tests.toys import tiny_bert, tiny_contender, trial_spec, write_csv
from tests.training.test_fit import Alone
from tests.training.test_frozen_prefix import even_messages

FOLD = 3


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads of nets this small wait for one another, most of all where others hold the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def contender(tmp_path_factory: pytest.TempPathFactory) -> Contender:
    return tiny_contender(tiny_bert(tmp_path_factory.mktemp("bert"), layers=4))


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    directory = tmp_path_factory.mktemp("folded")
    source = write_csv(directory / "messages.csv", even_messages(90))
    request = make_request({"source": str(source), "target": "label", "text": "text", "folds": 3, "seeds": 2})
    prepare(request, directory / "data")
    return load_prepared(directory / "data")


def train(spec: TrialSpec) -> tuple[Training, list[float], dict[str, Any]]:
    context = Alone()
    training = Training(spec, context, SlotClock(None))
    training.run()
    with np.load(Path(spec.run_directory) / "predictions" / f"{spec.id}.npz") as arrays:
        return training, [report.row["train_loss"] for report in context.reports], dict(arrays)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_fold_trains_as_parts_of_its_rows_do(
    contender: Contender, folded: PreparedData, tmp_path: Path, share: float
) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    pool, judges = read_part(folded.directory, "pool"), read_fold(folded.directory, FOLD)
    write_arrow(apart / "train.arrow", pool.filter(pa.array(~judges)).combine_chunks())
    write_arrow(apart / "validation.arrow", pool.filter(pa.array(judges)).combine_chunks())
    write_arrow(apart / "test.arrow", read_part(folded.directory, "test").combine_chunks())
    values: dict[str, Any] = {"kind": "default", "id": "one", "recipe": {"frozen_share": share, "dropout": 0.1}}
    one, losses, told = train(trial_spec(tmp_path / "fold", contender, folded, **values, fold=FOLD))
    other, losses_apart, told_apart = train(
        trial_spec(tmp_path / "parts", contender, folded, **values, data_directory=str(apart))
    )
    assert losses == losses_apart
    for part in ("validation", "test"):
        assert np.array_equal(told[part], told_apart[part])
    assert len(told["validation"]) == int(judges.sum())
    assert not one.outcome.notes
    assert not other.outcome.notes


def test_folds_share_encoded_rows_and_stored_activations(
    contender: Contender, folded: PreparedData, tmp_path: Path
) -> None:
    told = []
    for fold in (1, 2):
        spec = trial_spec(
            tmp_path, contender, folded, kind="default", id=f"fold-{fold}", fold=fold, recipe={"frozen_share": 0.5}
        )
        told.append(train(spec)[2]["validation"])
    assert not np.array_equal(*told)
    caches = sorted(path.name for path in (tmp_path / "cache" / contender.slug).iterdir() if path.is_dir())
    assert caches[0].startswith("encoded-pool")
    assert sum(name.startswith("encoded-") for name in caches) == 2, "the pool and the test"
    assert sum(name.startswith("prefix-") for name in caches) == 1


def test_a_cut_keeps_rows_labels_and_lengths_where_they_lie() -> None:
    part = EncodedPart(
        values={"ids": np.arange(10)}, offsets=np.array([0, 3, 4, 8, 10]), labels=np.array([5, 6, 7, 8])
    )
    learn, judge = part.cut(np.array([False, True, False, True]))
    assert learn.labels is not None
    assert (learn.labels.tolist(), learn.lengths.tolist(), len(learn), learn.ragged) == ([5, 7], [3, 4], 2, True)
    assert [row["ids"].tolist() for row in judge.rows(np.array([1, 0]))] == [[8, 9], [3]]
    assert learn.own_values()["ids"].tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert judge.values["ids"] is part.values["ids"]
