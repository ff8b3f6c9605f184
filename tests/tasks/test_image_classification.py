"""Pictures keep the contract of every task; what is stored of them is exact; they vary in training alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared
from automl.errors import DataError
from automl.search.contest import data_facts
from automl.search.space import load_space
from automl.tasks import image_classification
from automl.tasks.image_classification import PIXELS, ImageClassification
from automl.tasks.picture_variation import DRAWS, SHIFTS, TONES, cropped, mirrored, vary
from automl.tasks.variations import allowed, names_what_varies
from automl.types import Schema
from tests.pictures import NETS, net_contender, picture, prepared_pictures, tiny_net, write_pictures
from tests.tasks.contract import TaskContract, World
from tests.toys import trial_spec
from tests.training.test_fit import run

SCHEMA = Schema(task="image-classification", inputs=("image",), target="label", classes=("a", "b"))


@pytest.fixture(scope="module", params=["resnet", "vit"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    directory = tmp_path_factory.mktemp("pictures")
    contender = net_contender(tiny_net(directory / "net", request.param), request.param)
    return World(directory, contender, prepared_pictures(directory / "run"))


class TestImageClassification(TaskContract):
    task = ImageClassification()

    def test_what_is_stored_is_what_the_processor_gives(self, world: World) -> None:
        table = pa.table({"image": sorted(map(str, world.directory.rglob("circle/*.png")))[:5]})
        processor = world.family.load_processor(world.contender.checkpoint)
        fields = self.task.encode(table, SCHEMA, processor, {})
        assert fields[PIXELS][0].dtype == np.uint8, "a quarter of the room that the numbers would take"
        rows = [{name: values[i : i + 1] for name, (values, _) in fields.items()} for i in range(5)]
        pictures = [Image.open(path).convert("RGB") for path in table["image"].to_pylist()]
        wanted = processor(images=pictures, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(
            self.task.unpack(self.task.collate(rows, None, {}))[PIXELS], wanted, atol=1e-5, rtol=0
        )

    def test_varied_pictures_are_learnt_from_and_their_activations_not_stored(
        self, world: World, tmp_path: Path
    ) -> None:
        recipe = {"augmentation": "trivial", "frozen_share": 0.5}
        training, context = run(trial_spec(tmp_path, world.contender, world.prepared, epochs=8, recipe=recipe))
        assert ["augmented at random" in note for note in training.outcome.notes] == [True]
        curve = [report.row for report in context.reports]
        assert curve[-1]["train_loss"] < curve[0]["train_loss"]

    def test_the_same_seed_varies_pictures_the_same_way(self, world: World, tmp_path: Path) -> None:
        def losses(name: str) -> list[float]:
            spec = trial_spec(tmp_path / name, world.contender, world.prepared, recipe={"augmentation": "trivial"})
            return [report.row["train_loss"] for report in run(spec)[1].reports]

        assert losses("one") == losses("two")


@pytest.mark.parametrize("kind", sorted(set(NETS) & {"swin", "beit"}))
def test_a_net_that_cannot_be_cut_is_frozen_without_stored_activations(tmp_path: Path, kind: str) -> None:
    contender = net_contender(tiny_net(tmp_path / "net", kind), kind)
    prepared = prepared_pictures(tmp_path / "run", each=12)
    training, _ = run(trial_spec(tmp_path, contender, prepared, recipe={"frozen_share": 0.5}))
    assert ["cannot start in its middle" in note for note in training.outcome.notes] == [True]
    assert not list((tmp_path / "cache").rglob("prefix-*"))


def test_a_large_part_is_encoded_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_classification, "_MOST_BYTES_IN_MEMORY", 100)
    tiny_net(tmp_path / "net")
    picture("circle", 1).save(tmp_path / "x.png")
    table = pa.table({"image": [str(tmp_path / "x.png")] * 40})
    processor = net_contender(tmp_path / "net")
    from automl.models.image_classifier import ImageClassifier

    fields = ImageClassification().encode(table, SCHEMA, ImageClassifier().load_processor(processor.checkpoint), {})
    assert isinstance(fields[PIXELS][0], np.memmap)
    assert (fields[PIXELS][0] == fields[PIXELS][0][0]).all()
    assert fields[PIXELS][0][0].std() > 10


def test_a_processor_that_no_scaling_explains_is_stored_as_numbers(tmp_path: Path) -> None:
    class Odd:
        """Leaves nothing out, whatever it is asked: its pictures come as numbers, and no scaling makes them."""

        def __call__(self, images: list[Image.Image], **options: object) -> dict[str, np.ndarray]:
            values = np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])
            return {PIXELS: values if options.get("do_rescale") is False else np.sqrt(values / 255)}

    picture("bar", 1).save(tmp_path / "x.png")
    fields = ImageClassification().encode(pa.table({"image": [str(tmp_path / "x.png")]}), SCHEMA, Odd(), {})
    assert set(fields) == {PIXELS}
    assert fields[PIXELS][0].dtype == np.float32
    assert fields[PIXELS][0].max() <= 1


def test_a_picture_that_is_gone_is_told(tmp_path: Path) -> None:
    table = pa.table({"image": [str(tmp_path / "gone.png")]})
    with pytest.raises(DataError, match="gone.png cannot be read as a picture"):
        ImageClassification().encode(table, SCHEMA, None, {})


def drawn(rows: int, seed: int) -> torch.Tensor:
    return torch.rand(rows, DRAWS, generator=torch.Generator().manual_seed(seed))


def test_every_operation_changes_pictures_within_their_own_range_and_one_leaves_them() -> None:
    pictures = torch.rand(400, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 3 - 1
    varied = vary(pictures, drawn(400, 1))
    same = (varied == pictures).flatten(1).all(dim=1).float().mean()
    assert same == pytest.approx(1 / (1 + SHIFTS + TONES), abs=0.04)
    assert varied.shape == pictures.shape
    assert (varied.amax(dim=(1, 2, 3)) <= pictures.amax(dim=(1, 2, 3)) + 1e-5).all()
    assert (varied.amin(dim=(1, 2, 3)) >= pictures.amin(dim=(1, 2, 3)) - 1e-5).all()
    assert torch.equal(varied, vary(pictures, drawn(400, 1)))
    assert not torch.equal(varied, vary(pictures, drawn(400, 2)))


def test_a_share_of_pictures_is_mirrored_and_nothing_else_is_changed() -> None:
    pictures = torch.rand(200, 3, 8, 8)
    found = mirrored(pictures, drawn(200, 0), 0.25)
    turned = (found == pictures.flip(3)).flatten(1).all(dim=1)
    assert turned.float().mean() == pytest.approx(0.25, abs=0.08)
    assert torch.equal(found[~turned], pictures[~turned])


def test_a_crop_shows_a_part_of_a_picture_that_is_as_large_as_was_said() -> None:
    across, down = torch.linspace(-1, 1, 64).expand(64, 64), torch.linspace(-1, 1, 64)[:, None].expand(64, 64)
    pictures = torch.stack([across, down, down]).expand(300, 3, 64, 64)
    found = cropped(pictures, drawn(300, 0), 0.5)
    width, height = (found[:, i].amax(dim=(1, 2)) - found[:, i].amin(dim=(1, 2)) for i in (0, 1))
    area = width * height / 4
    assert 0.47 < area.min() < 0.55
    assert 0.95 < area.max() <= 1
    assert (width / height).amax() > 1.2 > 1 > 0.85 > (width / height).amin()
    torch.testing.assert_close(cropped(pictures, drawn(300, 0), 1.0), pictures, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["left", "turned_left", "Rotated-90", "dark", "out of focus", "grey"])
def test_a_class_may_be_named_after_what_augmenting_changes(name: str) -> None:
    assert names_what_varies(name)
    assert not allowed((), ("cat", name)), "nothing is tried by itself"
    assert allowed(("mirror",), ("cat", name)) == {"mirror"}, "but what a user names is"


@pytest.mark.parametrize("name", ["blue jay", "t-shirt_top", "6", "left_hand", "black bear"])
def test_a_class_that_is_a_thing_may_be_augmented(name: str) -> None:
    assert not names_what_varies(name)
    assert allowed((), ("cat", name)) == {"trivial", "mixup"}


def test_no_recipe_augments_where_that_may_change_a_label(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes", 10)
    spaces = load_space("image_classifier_cnn", "full"), load_space("image_classifier_vit", "lora")

    def searched(directory: Path) -> list[bool]:
        directory.mkdir()
        prepare(make_request({"source": str(tmp_path / "shapes")}), directory)
        facts = data_facts(load_prepared(directory), ImageClassification())
        fitted = [space.for_data(facts) for space in spaces]
        assert all(space.complete({})["augmentation"] == "none" for space in fitted), "the first trial never augments"
        return ["augmentation" in {parameter.name for parameter in space.parameters} for space in fitted]

    assert searched(tmp_path / "things") == [True, True]
    (tmp_path / "shapes" / "bar").rename(tmp_path / "shapes" / "upright")
    assert searched(tmp_path / "turns") == [False, False]
