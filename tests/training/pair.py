"""One of two real worker processes that train together over gloo: python -m tests.training.pair RANK DIRECTORY.

DIRECTORY/scenes.pt lists what to train; what came of it is written to DIRECTORY/NAME-RANK.pt. There is no Ray here.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from automl.models.text_encoder import TextEncoder
from automl.training import fit
from automl.training.clock import SlotClock
from automl.training.context import Report
from automl.training.exchange import RunningStatistics, add_up_gradients, agree, tells_of_a_broken_exchange
from automl.training.fit import Diverged, Training
from automl.training.sharding import whole
from automl.types import TrialSpec

WHOLE = ("completed", "InterruptedError")
"""Ends after which the workers still speak with each other."""


class Paired:
    """A context over torch.distributed alone; `stop_after` raises after so many reports."""

    device, leaving = torch.device("cpu"), False

    def __init__(self, rank: int, world: int, stop_after: int | None = None) -> None:
        self.rank, self.world = rank, world
        self.reports: list[Report] = []
        self._stop_after = stop_after

    def report(self, report: Report) -> None:
        self.reports.append(report)
        if len(self.reports) == self._stop_after:
            raise InterruptedError

    def add_up(self, values: torch.Tensor) -> None:
        if self.world > 1:
            distributed.all_reduce(values)


def train(scene: dict[str, Any], context: Paired) -> dict[str, Any]:
    """One training.

    scene: {"spec", "stop_after", "most_rows": {rank: most rows that its memory holds}, "autocast": dtype}.
    """
    fit.autocast_dtype = lambda device: scene.get("autocast")  # type: ignore[assignment]
    load = TextEncoder.load
    most = scene.get("most_rows", {}).get(context.rank)

    def guard(module: nn.Module, arguments: Any) -> None:
        if module.training and most is not None and len(arguments[0]) > most:
            raise MemoryError("cannot allocate")

    def guarded(self: TextEncoder, *arguments: Any) -> nn.Module:
        model = load(self, *arguments)
        model.base_model.encoder.layer[-1].register_forward_pre_hook(guard)  # type: ignore[union-attr, index, operator]
        return model

    TextEncoder.load = guarded  # type: ignore[method-assign]
    training = Training(TrialSpec.from_json(scene["spec"]), context, SlotClock(None))
    ended = "completed"
    try:
        training.run()
    except (InterruptedError, Diverged, MemoryError) as reason:
        ended = type(reason).__name__
    except RuntimeError as reason:
        if not tells_of_a_broken_exchange(reason):
            raise
        ended = "exchange broke"
    finally:
        TextEncoder.load = load  # type: ignore[method-assign]
    goes_on = ended in WHOLE and scene["spec"]["kind"] == "trial"  # after a final in shards rank 0 has it whole
    return {
        "ended": ended,
        "curve": [{k: v for k, v in r.row.items() if k != "device_seconds"} for r in context.reports],
        "model": whole(training.model.state_dict()) if goes_on else None,
        "held": _held(training),
        "notes": training.outcome.notes,
        "predictions": training.predict(training.validation) if goes_on and ended == "completed" else None,
    }


def _held(training: Training) -> dict[str, int]:
    """Values of parameters and of moments that this worker holds."""
    moments = [value for state in training.optimizer._inner.state.values() for value in state.values()]  # type: ignore[union-attr]
    held = {"parameters": list(training.model.parameters()), "moments": [m for m in moments if m.ndim]}
    return {name: sum(getattr(one, "_local_tensor", one).numel() for one in ones) for name, ones in held.items()}


def exchange_by_hand(context: Paired) -> dict[str, Any]:
    """What becomes of gradients that only one worker, or none, has, and of running statistics."""
    both, one, none = (nn.Parameter(torch.zeros(3)) for _ in range(3))
    both.grad = torch.full((3,), 1.0 + context.rank)
    if context.rank == 1:
        one.grad = torch.full((3,), 5.0)
    parameters = [both, one, none]
    ran_out, loss, have = agree(context, parameters, context.rank == 1, 0.25)
    add_up_gradients(context, parameters, have)
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2).eval())
    statistics = RunningStatistics(model)
    model[0](torch.full((4, 2), 8.0 * (context.rank + 1)))
    statistics.average(context)
    return {
        "gradients": [parameter.grad for parameter in parameters],
        "agreed": (ran_out, loss),
        "means": [model[0].running_mean, model[1].running_mean],
    }


def main(rank: int, directory: Path) -> None:
    store = f"file://{directory / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    torch.set_num_threads(1)
    fit.CHECKPOINT_SECONDS = 0.0
    for scene in torch.load(directory / "scenes.pt", weights_only=False):
        context = Paired(rank, 2, scene.get("stop_after"))
        result = exchange_by_hand(context) if scene["spec"] is None else train(scene, context)
        torch.save(result, directory / f"{scene['name']}-{rank}.pt")
        if scene["spec"] is not None and result["ended"] in (*WHOLE, "Diverged", "NotOneRow"):
            distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    np.seterr(all="ignore")
    with suppress(KeyboardInterrupt):
        main(int(sys.argv[1]), Path(sys.argv[2]))
