"""What varies a training input is decided by seed and place, and mixed rows are learnt from as their mixed labels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from automl.tasks.image_classification import PIXELS, ImageClassification
from automl.training import fit
from automl.training.clock import SlotClock
from automl.training.fit import Training
from automl.training.variation import VariedBatches
from automl.types import Contender, PreparedData
from tests.pictures import net_contender, prepared_pictures, tiny_net
from tests.toys import prepared_messages, tiny_bert, tiny_contender, trial_spec
from tests.training.test_fit import Alone, run

EVERYTHING = {"augmentation": "trivial", "mirror_share": 0.5, "smallest_crop": 0.5, "mixup_alpha": 0.4}
LABELS = np.array([0] * 12 + [1] * 4 + [2] * 2)
World = tuple[Contender, PreparedData]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> World:
    directory = tmp_path_factory.mktemp("varied")
    return net_contender(tiny_net(directory / "net")), prepared_pictures(directory / "run")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> World:
    directory = tmp_path_factory.mktemp("words")
    return tiny_contender(tiny_bert(directory / "bert")), prepared_messages(directory / "run")


def grey(rows: Any, generators: Any) -> dict[str, torch.Tensor]:
    """Pictures that are told apart by how light they are, with the labels of their rows."""
    pixels = torch.from_numpy(np.asarray(rows, np.float32))[:, None, None, None].expand(-1, 3, 8, 8)
    return {PIXELS: pixels + torch.linspace(0, 0.5, 8), "labels": torch.from_numpy(LABELS[rows])}


def test_a_row_varies_the_same_way_whatever_stands_beside_it() -> None:
    varied = VariedBatches(ImageClassification(), EVERYTHING, grey, seed=3)
    indices, everywhere = np.array([5, 1, 17, 9, 13]), np.arange(5)
    whole, targets = varied.batch(indices, everywhere, seen=40)
    pieces = [varied.batch(indices, chosen, seen=40) for chosen in (everywhere[:2], everywhere[2:])]
    torch.testing.assert_close(torch.cat([batch[PIXELS] for batch, _ in pieces]), whole[PIXELS], atol=1e-6, rtol=0)
    for number, (share, labels) in enumerate(targets):
        assert [of_piece[number][0] for _, of_piece in pieces] == [share, share]
        assert torch.equal(torch.cat([of_piece[number][1] for _, of_piece in pieces]), labels)
    workers = [varied.batch(indices, everywhere[rank::2], seen=40)[0][PIXELS] for rank in range(2)]
    torch.testing.assert_close(workers[0], whole[PIXELS][0::2], atol=1e-6, rtol=0)
    torch.testing.assert_close(workers[1], whole[PIXELS][1::2], atol=1e-6, rtol=0)


def test_the_same_rows_vary_otherwise_at_another_place_and_under_another_seed() -> None:
    indices, everywhere = np.arange(8), np.arange(8)

    def batch(seed: int, seen: int) -> torch.Tensor:
        return VariedBatches(ImageClassification(), EVERYTHING, grey, seed).batch(indices, everywhere, seen)[0][
            PIXELS
        ]

    assert torch.equal(batch(1, 0), batch(1, 0))
    assert not torch.equal(batch(1, 0), batch(1, 8))
    assert not torch.equal(batch(1, 0), batch(2, 0))


@pytest.mark.parametrize("imbalance", ["none", "class_balanced", "logit_adjust"])
def test_mixed_rows_cost_what_their_mixed_labels_cost(imbalance: str) -> None:
    """Weights of classes, smoothing and offsets included: torch's loss of labels that are shares says the same."""
    recipe = {"mixup_alpha": 0.4, "label_smoothing": 0.1, "imbalance": imbalance, "class_balanced_beta": 0.9}
    task, indices = ImageClassification(), np.array([0, 12, 16, 13, 1, 17])
    batch, targets = VariedBatches(task, recipe, grey, seed=0).batch(indices, np.arange(6), seen=0)
    (share, labels), (rest, other) = targets
    assert share + rest == 1
    assert 0 < share < 1
    assert sorted(other.tolist()) == sorted(labels.tolist()) != other.tolist(), "partners are of the same batch"

    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    loss = task.make_loss(LABELS, recipe, torch.device("cpu"))
    ours = sum(part * loss(SimpleNamespace(logits=logits), of) for part, of in targets)
    mixed = share * one_hot(labels, 3).float() + rest * one_hot(other, 3).float()
    counts, weights = np.bincount(LABELS), None
    if imbalance == "logit_adjust":
        logits = logits + torch.from_numpy(np.log(counts / counts.sum())).float()
    if imbalance == "class_balanced":
        effective = 1 / (1 - 0.9**counts)
        weights = torch.from_numpy(effective * counts.sum() / (effective * counts).sum()).float()
    theirs = cross_entropy(logits, mixed, weights, label_smoothing=0.1, reduction="none").mean()
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)

    partner = [int(np.flatnonzero(np.isclose(mixed_row, share * row + rest * np.arange(18)))[0])
               for row, mixed_row in zip(indices, batch[PIXELS][:, 0, 0, 0].numpy(), strict=True)]  # fmt: skip
    assert LABELS[partner].tolist() == other.tolist(), "a picture is mixed with the one whose label it shares"


@pytest.mark.parametrize("recipe", [EVERYTHING, {"word_noise": 0.3}], ids=["pictures", "words"])
def test_pieces_of_a_varied_batch_give_the_gradients_of_the_whole(
    pictures: World, texts: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any]
) -> None:
    monkeypatch.setattr(fit, "autocast_dtype", lambda device: None)
    world = texts if "word_noise" in recipe else pictures
    gradients = []
    for micro_batch in (None, 3):
        # no dropout, and no running statistics: a piece has its own
        values = {**recipe, "dropout": 0.0, "head_dropout": 0.0, "frozen_share": 1.0}
        training = Training(
            trial_spec(tmp_path, *world, recipe=values, micro_batch=micro_batch), Alone(), SlotClock(None)
        )
        with training.ready():
            training.optimizer.release(0.0)
            training.optimizer.train_mode(training.model)
            loss = training.step.backward(np.arange(8), 24)
            learning = [p.grad for p in training.model.parameters() if p.grad is not None]
        gradients.append([torch.tensor(loss), *(gradient.clone() for gradient in learning)])
        assert not training.stores_activations
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recipe", [EVERYTHING, {"word_noise": 0.3}], ids=["pictures", "words"])
def test_a_varied_training_comes_out_the_same_twice_and_not_as_a_plain_one(
    pictures: World, texts: World, tmp_path: Path, recipe: dict[str, Any]
) -> None:
    world = texts if "word_noise" in recipe else pictures

    def curve(name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        _, context = run(trial_spec(tmp_path / name, *world, recipe=values, epochs=1))
        return [{k: v for k, v in report.row.items() if k != "device_seconds"} for report in context.reports]

    varied = curve("one", recipe)
    assert varied == curve("two", recipe)
    assert [row["train_loss"] for row in varied] != [row["train_loss"] for row in curve("plain", {})]


def test_texts_in_other_words_are_encoded_anew_and_never_those_of_validation(texts: World, tmp_path: Path) -> None:
    training = Training(trial_spec(tmp_path, *texts, recipe={"word_noise": 0.5}), Alone(), SlotClock(None))
    with training.ready():
        indices = np.arange(12)
        varied, _ = training.step._batches.batch(indices, indices, 0)
        plain = training._make_batch(training.train, indices)
        lengths = varied["attention_mask"].sum(dim=1) - plain["attention_mask"].sum(dim=1)
        assert (lengths <= 0).all()
        assert (lengths < 0).any(), "some lost words"
        assert torch.equal(varied["input_ids"][:, 0], plain["input_ids"][:, 0]), "tokens of the model's own stay"
        before = training.predict(training.validation)
        np.testing.assert_array_equal(training.predict(training.validation), before)
