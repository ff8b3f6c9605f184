"""A task and a family that stand in this file alone: the house trains, predicts and saves them as its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part
from automl.errors import RequestError
from automl.models.base import ModelFamily
from automl.models.blocks import Blocks
from automl.tasks.base import Baseline, Field
from automl.tasks.classification import CONSTANT, Classification, Rows, fit_constant
from automl.types import Checkpoint, Contender, Schema
from tests.models.contract import FamilyContract
from tests.tasks.contract import TaskContract, World
from tests.toys import messages, write_csv

LETTERS = "abcdefghijklmnopqrstuvwxyz "


class LetterTask(Classification):
    """One text by how often each letter stands in it."""

    name = "letter-classification"
    head = "letters"
    pipeline = "none"

    def encode(self, table: pa.Table, schema: Schema, processor: Any, limits: Mapping[str, int]) -> dict[str, Field]:
        texts = table.column(schema.inputs[0]).to_pylist()
        counts = np.array([[text.count(letter) for letter in processor] for text in texts], dtype=np.float32)
        return {"counts": (counts, np.arange(len(texts) + 1))}

    def collate(
        self, rows: Sequence[Mapping[str, NDArray[Any]]], labels: Any, padding: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        batch = {"counts": torch.from_numpy(np.concatenate([row["counts"] for row in rows]))}
        return batch if labels is None else {**batch, "labels": torch.from_numpy(labels)}

    def baseline_inputs(self, table: pa.Table, schema: Schema) -> Sequence[Any]:
        texts: list[Any] = table.column(schema.inputs[0]).to_pylist()
        return texts

    def baselines(self) -> tuple[Baseline, ...]:
        return (CONSTANT,)

    def fit_baseline(self, baseline: Baseline, schema: Schema, train: Rows, validation: Rows, seed: int) -> Any:
        return fit_constant(train)


class LetterNet(nn.Module):
    def __init__(self, classes: Sequence[str], dropout: float, head_dropout: float) -> None:
        super().__init__()
        self.config = SimpleNamespace(id2label=dict(enumerate(classes)))
        self.stem = nn.Linear(len(LETTERS), 16)
        self.layers = nn.ModuleList(
            [nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout)) for _ in range(2)]
        )
        self.head = nn.Sequential(nn.Dropout(head_dropout), nn.Linear(16, len(classes)))

    def body(self, counts: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.stem(counts)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden

    def forward(self, counts: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self.head(self.body(counts)))


class LetterFamily(ModelFamily):
    name = "letter_nets"
    heads = frozenset({"letters"})
    adaptations = frozenset({"full"})

    def claims(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.model_type == "letters"

    def space_name(self, checkpoint: Checkpoint) -> str:
        return "text_encoder_small"

    def load_processor(self, checkpoint: Checkpoint) -> str:
        return LETTERS

    def limits(self, model_directory: str, processor: Any) -> dict[str, int]:
        return {}

    def padding(self, processor: Any) -> dict[str, int]:
        return {}

    def load(self, checkpoint: Checkpoint, head: str, schema: Schema, recipe: Mapping[str, Any]) -> nn.Module:
        net = LetterNet(schema.classes, recipe["dropout"], recipe["head_dropout"])
        body = {n: v for n, v in load_file(f"{checkpoint.path}/model.safetensors").items() if "head" not in n}
        net.load_state_dict(body, strict=False)
        return net

    def blocks(self, model: nn.Module) -> Blocks:
        assert isinstance(model, LetterNet)
        return Blocks(model=model, stem=(model.stem,), layers=tuple(model.layers), layer_list=model.layers)

    def pooled(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        assert isinstance(model, LetterNet)
        return model.body(batch["counts"])

    def save(self, model: nn.Module, processor: Any, directory: Path) -> None:
        assert isinstance(model, LetterNet)
        directory.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), directory / "model.safetensors")
        (directory / "classes.json").write_text(json.dumps(list(model.config.id2label.values())))

    def open(self, directory: Path) -> tuple[nn.Module, Any]:
        net = LetterNet(json.loads((directory / "classes.json").read_text()), 0.0, 0.0)
        net.load_state_dict(load_file(directory / "model.safetensors"))
        return net, LETTERS


def letter_checkpoint(directory: Path) -> Checkpoint:
    torch.manual_seed(0)
    LetterFamily().save(LetterNet(("x", "y"), 0.0, 0.0), LETTERS, directory)
    return Checkpoint(
        name="letters", path=str(directory), revision="1", kind="folder", architecture="LetterNet",
        model_type="letters", parameters=1,
    )  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return letter_checkpoint(tmp_path / "letters")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    directory = tmp_path_factory.mktemp("letters")
    source = write_csv(directory / "messages.csv", messages(150))
    request = make_request({"source": str(source), "task": LetterTask.name})
    (directory / "data").mkdir()
    prepare(request, directory / "data", known_tasks=(LetterTask.name,))
    contender = Contender(
        name="letters/full", checkpoint=letter_checkpoint(directory / "net"), family="letter_nets", adaptation="full"
    )
    return World(directory, contender, load_prepared(directory / "data"))


class TestLetterTask(TaskContract):
    task = LetterTask()
    epochs = 40
    good_enough = 0.45

    def serve(self, world: World, directory: Path) -> list[Any]:
        model, _ = LetterFamily().open(directory)
        inputs = self.encoded(world, "validation").values["counts"]
        chosen = model.eval()(torch.from_numpy(np.asarray(inputs))).logits.argmax(dim=1)
        assert read_part(world.prepared.directory, "validation").num_rows == len(chosen)
        return [world.prepared.schema.classes[index] for index in chosen]


class TestLetterFamily(FamilyContract):
    family = LetterFamily()
    head = "letters"

    def batch(self) -> dict[str, torch.Tensor]:
        return {"counts": torch.rand(4, len(LETTERS), generator=torch.Generator().manual_seed(0)) * 5}


def test_a_task_that_nobody_brings_is_refused(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "messages.csv", messages(60))
    with pytest.raises(RequestError, match="task 'juggling' is not supported yet; one of letters"):
        prepare(make_request({"source": str(source), "task": "juggling"}), tmp_path / "d", known_tasks=("letters",))
