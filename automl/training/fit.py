"""The one training loop, for every task and family. It knows neither Ray nor the search.

A `Context` tells it who it is among its workers and takes its reports; a report may end it (by raising).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.data.folds import read_fold
from automl.metrics import get_metric
from automl.models.base import ModelFamily
from automl.models.blocks import CutModel, autocast_dtype, count_parameters
from automl.registry import get_part
from automl.tasks.base import Generators, Task
from automl.training.adapters import LORA, LoraAdapters
from automl.training.checkpoint import load_checkpoint, save_checkpoint
from automl.training.clock import SlotClock
from automl.training.compute import Compiled, recompute_activations
from automl.training.context import Context, Outcome, Report
from automl.training.encoded import EncodedPart, encode_part
from automl.training.evaluation import predict_rows, save_predictions, score_rows, standard_error
from automl.training.exchange import any_worker
from automl.training.frozen_prefix import NotStored, StoredActivations, StoreKey, store_activations
from automl.training.memory import RowsAtOnce
from automl.training.optimizer import BlockwiseOptimizer
from automl.training.process import batch_on_device
from automl.training.recipe import Recipe
from automl.training.sharding import is_sharded, shard_model, whole
from automl.training.step import GradientStep
from automl.training.stream import batch_stream, evaluation_points
from automl.training.unfreezing import Unfreezing
from automl.training.used_rows import learning_used_rows
from automl.training.variation import RewrittenRows, VariedBatches
from automl.types import Part, TrialSpec

CHECKPOINT_SECONDS = 60.0
LEAVING_SECONDS = 5.0  # between two on a machine that is about to be taken away
DIVERGED_STEPS = 3
"""So many steps with a loss that is no number end a training."""


class Diverged(Exception):
    """The loss stopped being a number."""


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class Training:
    """One training of one recipe: set up, run over the fixed horizon, predict, save."""

    def __init__(self, spec: TrialSpec, context: Context, clock: SlotClock) -> None:
        self.spec, self.context, self.clock = spec, context, clock
        self.device = context.device
        self.autocast = autocast_dtype(self.device)
        self.recipe = Recipe.of(spec.recipe)
        self.task = get_part("automl.tasks", Task, spec.task)  # type: ignore[type-abstract]
        self.family = get_part("automl.models", ModelFamily, spec.contender.family)  # type: ignore[type-abstract]
        self.metric = get_metric(spec.metric)
        self.run_directory = Path(spec.run_directory)
        self.cache = self.run_directory / "cache" / spec.contender.slug
        self.outcome = Outcome()
        self.sharded = is_sharded(spec, context)
        self.at_once = RowsAtOnce(spec.micro_batch, self.outcome.notes)
        # of a model in shards both are found out by trainings that ended
        self.evaluated_at_once = RowsAtOnce(spec.micro_batch if self.sharded else None, self.outcome.notes)
        self.curve: list[dict[str, Any]] = []
        self._activations: dict[int, StoredActivations] = {}
        self._cut: CutModel | None = None
        self._while_learning = ExitStack()

    @property
    def stores_activations(self) -> bool:
        """Whether the frozen blocks' output is read from a store instead of being computed."""
        return bool(self._activations)

    # -- set up ------------------------------------------------------------------------------------------

    def _part(self, name: Any) -> EncodedPart:
        spec = self.spec
        data = Path(spec.data_directory)
        with self.clock.charging("cache"):
            return encode_part(self.cache, name, data, self.task, self.family, spec.contender.checkpoint, spec.schema)

    def _find_rows(self) -> None:
        """What learns and what judges. Folds share their rows, so these are encoded, and stored, once for all."""
        if (number := self.spec.fold) is None:
            self.train, self.validation = self._part("train"), self._part("validation")
            self._whole: dict[Part, EncodedPart] = {"train": self.train, "validation": self.validation}
        else:
            self._whole = {"pool": self._part("pool")}
            self.train, self.validation = self._whole["pool"].cut(read_fold(Path(self.spec.data_directory), number))

    def _set_up(self) -> None:
        spec = self.spec
        seed_everything(spec.seed)
        self._find_rows()
        assert self.train.labels is not None
        self.processor = self.family.load_processor(spec.contender.checkpoint)
        self.padding = self.family.padding(self.processor)
        recipe = spec.recipe
        self.rewritten: RewrittenRows | None = None
        if self.task.rewrites(recipe):
            self.rewritten = RewrittenRows(spec, self.task, self.family, self.processor, self.train.labels)
        self._load_model(torch.device("cpu") if self.sharded else self.device)
        # rewritten words may have other tokens, and a table in shards is no smaller for being cut twice
        if self.adapters is None and self.recipe.frozen_share == 0 and self.rewritten is None and not self.sharded:
            inputs = self.train.own_values() if self.train.ragged else {}
            self._while_learning.enter_context(learning_used_rows(self.model, inputs, self.padding))
        self.blocks = self.family.blocks(self.model)
        if self.sharded:
            shard_model(self.blocks, self.context, self.autocast)
        self.unfreezing = Unfreezing(self.recipe, self.blocks.depth)
        self.optimizer = BlockwiseOptimizer(self.blocks, self.recipe, self.unfreezing)
        self._store_prefix()
        loss = self.task.make_loss(self.train.labels, recipe, self.device)
        self.even_groups = self.task.even_groups(self.train.labels, recipe)
        if spec.gradient_checkpointing:
            recompute_activations(self.model, self.outcome.notes)
        self.step = GradientStep(
            self.model,
            Compiled(self.model, self.outcome.notes) if spec.compile else self.model,
            VariedBatches(self.task, recipe, self._training_batch, spec.seed),
            loss,
            self.context,
            self.autocast,
            spec.seed,
            self.at_once,
            self.sharded,
        )

    def _load_model(self, device: torch.device) -> None:
        """The contender's model on a device, whole, with adapters where they are what learns."""
        spec = self.spec
        self.model = self.family.load(spec.contender.checkpoint, self.task.head, spec.schema, spec.recipe).to(device)
        self.outcome.parameters = count_parameters(self.model)
        self.adapters: LoraAdapters | None = None
        if spec.contender.adaptation == LORA:
            self.adapters = LoraAdapters(self.model, self.family.lora_targets(self.model), spec.recipe)

    def _store_prefix(self) -> None:
        depth = self.unfreezing.frozen_depth
        if depth is None:
            return
        spec, checkpoint = self.spec, self.spec.contender.checkpoint
        preprocessing = self.family.limits(checkpoint.path, self.processor) | self.padding
        place = (self.blocks, depth, self.task, self.padding, self.device, self.autocast)
        try:
            if self.task.is_augmented(spec.recipe):
                raise NotStored("inputs are augmented at random")
            if self.sharded:  # workers build a store one after the other, and blocks in shards run on all together
                raise NotStored("the model is in shards")
            if not self.blocks.cuttable:
                raise NotStored(f"{type(self.model).__name__} cannot start in its middle")
            stored = {}
            for name, part in self._whole.items():
                key = StoreKey(
                    checkpoint=checkpoint.revision,
                    data=spec.split_fingerprint,
                    part=name,
                    preprocessing=preprocessing,
                )
                with self.clock.charging("cache"):
                    stored[id(part.offsets)] = store_activations(self.cache, key, part, *place)
        except NotStored as reason:
            self.outcome.notes.append(f"frozen activations are computed anew each time: {reason}")
            return
        self._activations = stored
        self._cut = self._while_learning.enter_context(CutModel(self.blocks, depth))

    def _training_batch(self, indices: NDArray[np.int64], generators: Generators) -> dict[str, Tensor]:
        if self.rewritten is None:
            return self._make_batch(self.train, indices)
        return self._make_batch(self.rewritten.part(indices, generators), np.arange(len(indices)))

    def _make_batch(self, part: EncodedPart, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        labels = None if part.labels is None else part.labels[indices]
        stored = self._activations.get(id(part.offsets))  # which parts of the same stored rows share
        if self._cut is not None and stored is not None:
            self._cut.prefix.activations = stored.batch(part.stored(indices), self.device)
        return batch_on_device(self.task, part.rows(indices), labels, self.padding, self.device)

    # -- the loop ----------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Train over the horizon, reporting at every rung and curve point.

        Raises Diverged, torch.OutOfMemoryError, MemoryError, CheckpointError, or whatever a report raises.
        """
        with self.ready():
            self._learn()
        self._cut = None
        self.outcome.trainable_parameters = count_parameters(self.model, learning=True)
        if self.spec.kind in ("final", "default"):
            self._predict_and_save()
        self.clock.tick()
        return self.outcome

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Everything set up, and what holds while the model learns; afterwards the model is whole again."""
        with self._while_learning:
            self._set_up()
            yield

    def take_step(self, indices: NDArray[np.int64], seen: int) -> float:
        """One step of the optimizer on these rows of the training part; their mean loss. seen: samples before it.

        Where the loss is no number nothing is learned. Raises NotOneRow where not even one row fits into memory.
        """
        progress = seen / self.spec.horizon_samples
        if self.optimizer.release(progress) or not self.model.training:
            self.optimizer.train_mode(self.model)
        loss = self.step.backward(indices, seen)
        if math.isfinite(loss):
            self.optimizer.step(progress, self.step.scaler)
        else:
            self.optimizer.skip()
        return loss

    def _learn(self) -> None:
        horizon, size = self.spec.horizon_samples, self.recipe.batch_size
        points = evaluation_points(horizon, self.spec.rungs, len(self.train))
        resume_file = self.run_directory / "checkpoints" / f"{self.spec.id}.resume.pt"
        start = load_checkpoint(resume_file, self.model, self.optimizer, self.device, self.sharded)
        seen, skip, losses, bad_steps = 0, 0, _Mean(), 0
        if start is not None:
            skip, self.curve = start["samples_seen"], start["curve"]
            losses.total, losses.weight = start["losses"]
            self.step.restore(start["step"])
            self.evaluated_at_once.lower(start["evaluated_at_once"])
            points = [p for p in points if p[0] > skip]
        saved_at, whole = self.clock.device_seconds, self.context.world == 1  # others' statistics come in at points
        for indices in batch_stream(self.train.lengths, size, self.spec.seed, horizon, self.even_groups):
            if seen < skip:  # trained before the interruption
                seen += len(indices)
                continue
            loss = self.take_step(indices, seen)
            if math.isfinite(loss):
                losses.add(loss, len(indices))
                bad_steps = 0
            else:
                bad_steps += 1
                if bad_steps >= DIVERGED_STEPS:
                    raise Diverged(f"the loss was no number for {bad_steps} steps, at {seen} samples")
            seen += len(indices)
            self.clock.tick(seen)
            if evaluated := bool(points and seen >= points[0][0]):
                rung = points.pop(0)[1]
                while points and seen >= points[0][0]:
                    rung = points.pop(0)[1] or rung
                self._evaluate(seen, rung, losses.take())
                if points and self._out_of_patience(seen):
                    break
            if points and (whole or evaluated) and self._checkpoint_is_due(saved_at):
                state = {"samples_seen": seen, "curve": self.curve, "losses": (losses.total, losses.weight)}
                state |= {"step": self.step.state(), "evaluated_at_once": self.evaluated_at_once.rows}
                if not save_checkpoint(resume_file, self.model, self.optimizer, state, self.context.rank):
                    self._note("the disk had no room for a checkpoint")
                saved_at = self.clock.device_seconds
        resume_file.unlink(missing_ok=True)

    def _checkpoint_is_due(self, saved_at: float) -> bool:
        """Whether it is time for another one, or this machine is about to be taken away; rank 0 says and keeps it."""
        asked, since = self.spec.checkpoint_seconds, self.clock.device_seconds - saved_at
        due = since >= (CHECKPOINT_SECONDS if asked is None else asked)
        due = self.context.rank == 0 and (due or (since >= LEAVING_SECONDS and self.context.leaving))
        return any_worker(self.context, due) if self.sharded else due  # all put the shards together

    def _out_of_patience(self, seen: int) -> bool:
        """Whether validation has not improved for the patience that all contenders have; says so in the notes.

        Samples before the last release do not count: until then blocks wait for their turn to learn. What the
        training is worth stays its last evaluation: the weights that it ends with are those that are kept.
        """
        patience = self.spec.patience_samples
        if patience is None:
            return False
        values = [row[self.metric.name] for row in self.curve]
        best = max(range(len(values)), key=lambda at: values[at] if self.metric.higher_is_better else -values[at])
        released = (self.recipe.head_only_share + self.recipe.release_share) * self.spec.horizon_samples
        if seen - max(self.curve[best]["samples_seen"], released) < patience:
            return False
        self.outcome.notes.append(
            f"ended by its patience at {seen:,} of {self.spec.horizon_samples:,} samples: "
            f"validation had not improved since {self.curve[best]['samples_seen']:,}"
        )
        return True

    def _note(self, text: str) -> None:
        if text not in self.outcome.notes:
            self.outcome.notes.append(text)

    def _evaluate(self, seen: int, rung: int | None, train_loss: float) -> None:
        with self.clock.charging("validate"):
            labels = self.validation.labels
            assert labels is not None
            self.step.statistics.average(self.context)
            predictions = self.predict(self.validation)
            if not np.isfinite(predictions).all():  # metrics would refuse it in words of their own
                raise Diverged(f"a prediction was no number, at {seen} samples")
            scores = score_rows(labels, predictions, self.task.metrics)
            value = scores.get(self.metric.name, math.nan)
            error = standard_error(labels, predictions, self.metric) if rung is not None else 0.0
        if not math.isfinite(value):
            raise Diverged(f"the validation score was no number, at {seen} samples")
        spent = self.clock.device_seconds
        row = {"samples_seen": seen, "train_loss": train_loss, **scores, "device_seconds": round(spent, 3)}
        row |= {} if rung is None else {"rung": rung}
        earlier = tuple(self.curve)
        self.curve.append(row)
        self.outcome.metrics = scores
        notes, micro_batch = tuple(self.outcome.notes), self.at_once.rows
        self.context.report(Report(row, rung, value, error, earlier, notes=notes, micro_batch=micro_batch))

    def predict(self, part: EncodedPart) -> NDArray[np.float32]:
        """Predictions for the rows of a part, on every worker; the model is left in eval mode."""
        return predict_rows(
            self.model,
            part,
            self.task,
            self._make_batch,
            self.device,
            self.autocast,
            self.clock.tick,
            self.context,
            self.evaluated_at_once,
            self.sharded,
        )

    def _predict_and_save(self) -> None:
        """Predictions on validation and on the test's inputs, and the model, for the board and the user."""
        self._activations = {}
        validation = self.predict(self.validation)
        test = self.predict(self._part("test"))
        if self.sharded and self.spec.kind == "final":
            self._put_together()
        if self.context.rank > 0:
            return
        file = self.run_directory / "predictions" / f"{self.spec.id}.npz"
        file.parent.mkdir(exist_ok=True)
        save_predictions(file, validation, test)
        self.outcome.predictions_file = f"predictions/{file.name}"
        if self.spec.kind == "final":
            directory = self.run_directory / "checkpoints" / self.spec.id
            if self.adapters is not None:
                self.adapters.save(directory, self.spec.contender.checkpoint)
                self.adapters.merge()
            self.family.save(self.model, self.processor, directory)
            self.outcome.model_dir = f"checkpoints/{self.spec.id}"

    def _put_together(self) -> None:
        """The model out of all workers' shards, whole in rank 0's host memory; the others keep their shards."""
        values = whole(self.model.state_dict(), keep=self.context.rank == 0)
        if self.context.rank == 0:
            self._load_model(torch.device("cpu"))
            self.model.load_state_dict(values)


class _Mean:
    """A weighted mean that starts anew when taken."""

    def __init__(self) -> None:
        self.total, self.weight = 0.0, 0

    def add(self, value: float, weight: int) -> None:
        self.total += value * weight
        self.weight += weight

    def take(self) -> float:
        mean = self.total / self.weight if self.weight else 0.0
        self.total, self.weight = 0.0, 0
        return mean
