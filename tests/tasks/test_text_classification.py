from pathlib import Path

import pytest

from automl.tasks.text_classification import TextClassification
from tests.tasks.contract import TaskContract, World
from tests.toys import prepared_messages, tiny_bert, tiny_contender


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    directory = tmp_path_factory.mktemp("text")
    return World(directory, tiny_contender(tiny_bert(directory / "bert")), prepared_messages(directory / "run"))


class TestTextClassification(TaskContract):
    task = TextClassification()
    epochs = 24


def test_padding_is_filled_with_what_the_family_says(tmp_path: Path, world: World) -> None:
    batch = TestTextClassification().batch(world, TestTextClassification().encoded(world).lengths.argsort()[[0, -1]])
    assert batch["attention_mask"][0].sum() < batch["attention_mask"][1].sum() == batch["input_ids"].shape[1]
    assert (batch["input_ids"][0][batch["attention_mask"][0] == 0] == 0).all()
