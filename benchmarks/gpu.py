"""Does every line for GPUs run, and how fast? One command, at most 8 minutes, nothing from a network.

    PYTHONPATH=. python benchmarks/gpu.py                      # on a machine with one NVIDIA GPU
    PYTHONPATH=. python benchmarks/gpu.py --tiny --device cpu  # the same code with toys, which the suite runs

Models are built from configs, rows are random. Neither Ray, Optuna nor pydantic has to be installed. On a GPU every
section runs in a process of its own with a limit of its own, so one that breaks or hangs stops no other. A line for
each goes to standard error: ok, MISSED (a goal), FAILED (with its reason), or skipped. One JSON object with every
figure goes to standard output. Exit code 1 where a section failed; a missed goal is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_up import Loops, learning, losses, make_spec, rate_of, set_up, synchronise
from torch import nn
from torch._dynamo.utils import counters
from torch.distributed import TCPStore

from automl.training import compute, fit, frozen_prefix
from automl.training.clock import SlotClock
from automl.training.evaluation import Alone
from automl.training.exchange import _add_up, any_worker, join_workers
from automl.training.fit import Training
from automl.training.memory import peak_memory_bytes, release_unused, reset_peak_memory
from automl.training.process import fraction_for_tensors, keep_to_share, warm_process
from automl.types import TrialSpec

ALL_SECONDS = 460.0
"""So long all sections may take together: with the start of Python under 8 minutes."""
STARTS_SECONDS = 10.0
"""Less than that is too little for a section."""
GOAL_OF_BARE = 0.98
SHOWN = ("of_bare", "of_trainer", "times_faster", "losses_apart")
PACKAGES = ("torch", "transformers", "accelerate", "peft", "triton", "numpy", "pyarrow", "ray", "optuna", "pydantic")


@dataclass
class Found:
    """What a section measured, the goals it has (met or not), and what it could not measure, with the reason."""

    figures: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, bool] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Lab:
    """Where sections work. until: by time.monotonic(), when they have to be done."""

    device: torch.device
    tiny: bool
    work: Path
    until: float

    def size(self, name: str) -> str:
        return {"llama-300m": "toy-llama", "vit-base": "toy-vit"}.get(name, "toy-bert") if self.tiny else name

    def of(self, real: int, toy: int) -> int:
        return toy if self.tiny else real

    def spec(self, name: str, batch: int, steps: int, **options: Any) -> TrialSpec:
        """A trial on made-up rows in a folder of its own."""
        run = Path(tempfile.mkdtemp(dir=self.work))
        return make_spec(self.size(name), run, self.work / "models", batch, steps, **options)

    def repeats(self, most: int) -> Iterator[int]:
        """At most so many, one at least, while there is time for as long a one again."""
        for number in range(self.of(most, 1)):
            began = time.monotonic()
            yield number
            if time.monotonic() + (time.monotonic() - began) > self.until:
                return


def summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "repeats": len(values)}


# -- sections --------------------------------------------------------------------------------------------


def loop_section(name: str, batch: int, steps: int) -> Callable[[Lab], Found]:
    """Rows a second of our loop, a bare one and the Trainer, in turn; and how busy ours keeps the GPU."""

    def section(lab: Lab) -> Found:
        # so many texts name nearly all words, so that no loop can leave out a part of the embeddings
        rows = lab.of(512 if name == "vit-base" else 1024, 8)
        loops = Loops(lab.spec(name, lab.of(batch, 4), lab.of(steps, 2), rows=rows), lab.device)
        rates: dict[str, list[float]] = {"bare": [], "automl": [], "trainer": []}
        busy: list[float] = []
        found = Found({"precision": str(loops.autocast), "batch": batch})
        for _ in lab.repeats(5):
            for loop in rates:
                with watched(lab.device, busy if loop == "automl" else [], found.without):
                    rates[loop].append(loops.rate(loop))
        median = {loop: statistics.median(values) for loop, values in rates.items()}
        found.figures |= {f"{loop}_rows_per_second": summary(values) for loop, values in rates.items()}
        found.figures |= {
            "of_bare": median["automl"] / median["bare"],
            "of_trainer": median["automl"] / median["trainer"],
            "of_bare_pairs": [ours / bare for ours, bare in zip(rates["automl"], rates["bare"], strict=True)],
            "gpu_percent": summary(busy) if busy else None,
        }
        if not lab.tiny:
            found.goals[f"at least {GOAL_OF_BARE} of the bare loop"] = found.figures["of_bare"] >= GOAL_OF_BARE
            found.goals["faster than the Trainer"] = found.figures["of_trainer"] > 1
        return found

    return section


@contextmanager
def watched(device: torch.device, percents: list[float], without: list[str]) -> Iterator[None]:
    """How busy the GPU is meanwhile, in percent, about ten times a second."""
    ask, reason = utilisation(device)
    if ask is None:
        if (told := f"utilisation: {reason}") not in without:
            without.append(told)
        yield
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            percents.append(ask())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def utilisation(device: torch.device) -> tuple[Callable[[], float] | None, str]:
    """What asks the driver for it, or why nothing does."""
    if device.type != "cuda":
        return None, "no GPU"
    try:
        torch.cuda.utilization(device)
    except Exception as problem:  # without nvidia-ml-py, or a GPU that does not say
        return None, one_line(problem)
    return lambda: float(torch.cuda.utilization(device)), ""


def memory_section(lab: Lab) -> Found:
    """A batch that does not fit: the training halves its rows by itself and learns as if it had always done so."""
    steps = 3
    # without dropout, which is drawn piece by piece: the second halving may come a step later
    recipe = {"dropout": 0.0, "head_dropout": 0.0}
    spec = lab.spec("bert-base", lab.of(256, 8), steps, recipe=recipe)
    with learning(spec, lab.device) as training:
        held = allocated(lab.device)
        reset_peak_memory(lab.device)
        whole = losses(training, steps)
        peak = peak_memory_bytes(lab.device)
    del training
    with short_of_memory(lab.device, spec, held + int(0.6 * (peak - held))):
        with learning(spec, lab.device) as training:
            halved = losses(training, steps)
        rows, notes = training.at_once.rows, list(training.outcome.notes)
        del training
    with learning(replace(spec, micro_batch=rows), lab.device) as training:
        accumulated = losses(training, steps)
    apart = float(np.abs(np.subtract(halved, accumulated)).max())
    return Found(
        {"batch": spec.recipe["batch_size"], "rows_at_once": rows, "notes": notes, "peak_bytes": peak,
         "model_bytes": held, "whole": whole, "halved": halved, "accumulated": accumulated, "losses_apart": apart},
        {"memory ran out and the rows were halved": rows is not None and bool(notes),
         "the same losses as accumulation of so many rows (0.01)": apart < 0.01},
    )  # fmt: skip


def allocated(device: torch.device) -> int:
    release_unused()
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else 0


@contextmanager
def short_of_memory(device: torch.device, spec: TrialSpec, left_bytes: int) -> Iterator[None]:
    """Only so many bytes of the GPU are left; on a processor more than half a batch breaks in the forward pass."""
    if device.type == "cuda":
        release_unused()
        free, _ = torch.cuda.mem_get_info(device)
        ballast = torch.empty(max(free - left_bytes, 0), dtype=torch.uint8, device=device)
        try:
            yield
        finally:
            del ballast
            release_unused()
        return
    most = spec.recipe["batch_size"] // 2

    def guard(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module.training and inputs and isinstance(inputs[0], torch.Tensor) and len(inputs[0]) > most:
            raise MemoryError("cannot allocate")

    handle = nn.modules.module.register_module_forward_pre_hook(guard)
    try:
        yield
    finally:
        handle.remove()


def scaler_section(lab: Lab) -> Found:
    """float16 with its scaled loss, as on GPUs older than Ampere: the losses of the usual precision, nearly."""
    steps = lab.of(20, 3)
    spec = lab.spec("bert-base", lab.of(64, 4), steps)
    with learning(spec, lab.device) as training:
        usual = losses(training, steps)
    before, fit.autocast_dtype = fit.autocast_dtype, lambda device: torch.float16
    try:
        with learning(spec, lab.device) as training:
            enabled = training.step.scaler.is_enabled()
            half = losses(training, steps)
            scale = training.step.scaler.get_scale()
    finally:
        fit.autocast_dtype = before
    apart = float(np.abs(np.subtract(usual, half)).max())
    return Found(
        {"usual": usual, "float16": half, "scale": scale, "losses_apart": apart},
        {"the loss was scaled": enabled and scale > 0, "losses are numbers, 0.2 apart at most": apart < 0.2},
    )


def exchange_section(lab: Lab) -> Found:
    """The exchange of gradients with one rank: NCCL on a GPU, gloo on a processor."""
    found = Found({"values": (count := lab.of(8 * 2**20, 1024))})
    context = _Exchanging(lab.device)
    with joined(lab.device) as seconds:
        found.figures |= {"backend": torch.distributed.get_backend(), "start_seconds": seconds}
        values = torch.randn(count, device=lab.device)
        expected, times = values.clone(), []
        for _ in range(10):
            synchronise(lab.device)
            began = time.perf_counter()
            _add_up(context, [values])
            synchronise(lab.device)
            times.append(time.perf_counter() - began)
        found.figures["milliseconds"] = summary([1000 * one for one in times])
        found.goals["a sum over one rank is what it was"] = torch.equal(values, expected)
        found.goals["a worker's word arrives"] = any_worker(context, True) and not any_worker(context, False)
    return found


class _Exchanging(Alone):
    """One worker that speaks as one of several would."""

    world = 2

    def add_up(self, values: torch.Tensor) -> None:
        torch.distributed.all_reduce(values)


@contextmanager
def joined(device: torch.device) -> Iterator[float]:
    """One rank in a group; the seconds of its start, the first exchange included."""
    began = time.perf_counter()
    join_workers(device, 0, 1, TCPStore("127.0.0.1", 0, 1, is_master=True, wait_for_workers=False))
    try:
        torch.distributed.all_reduce(torch.ones(1, device=device))
        synchronise(device)
        yield time.perf_counter() - began
    finally:
        torch.distributed.destroy_process_group()


def shards_section(lab: Lab) -> Found:
    """A model in shards (FSDP2) over one rank learns what it learns whole, is put together and predicts."""
    steps = lab.of(10, 2)
    spec = lab.spec("bert-base", lab.of(64, 4), steps)
    with learning(spec, lab.device) as training:
        whole = losses(training, steps)
    with joined(lab.device) as seconds:
        training = Training(spec, Alone(lab.device), SlotClock(None))
        training.sharded = True
        with training.ready():
            began = time.perf_counter()
            sharded = losses(training, steps)
            synchronise(lab.device)
            took = time.perf_counter() - began
            predictions = training.predict(training.validation)
            training._put_together()
            where = {parameter.device.type for parameter in training.model.parameters()}
    apart = float(np.abs(np.subtract(whole, sharded)).max())
    return Found(
        {"backend": "nccl" if lab.device.type == "cuda" else "gloo", "start_seconds": seconds, "whole": whole,
         "sharded": sharded, "losses_apart": apart, "rows_per_second": spec.horizon_samples / took},
        {"the losses of the whole model (0.05)": apart < 0.05,
         "predictions are numbers": bool(np.isfinite(predictions).all()),
         "put together on the host": where == {"cpu"}},
    )  # fmt: skip


def training_section(lab: Lab) -> Found:
    """A final from its start to its saved model, stopped in the middle and resumed; LoRA; augmented images."""
    found, batch = Found(), lab.of(32, 4)
    fit.CHECKPOINT_SECONDS, before = 0.0, fit.CHECKPOINT_SECONDS
    try:
        recipe = {"head_only_share": 0.1, "release_share": 0.3}
        spec = lab.spec("minilm", batch, 6, rows=2 * batch, uneven=True, kind="final", recipe=recipe)
        uninterrupted = _Kept(lab.device)
        Training(spec, uninterrupted, SlotClock(None)).run()
        stopped = _Kept(lab.device, stop_after=2)
        try:
            Training(spec, stopped, SlotClock(None)).run()
        except InterruptedError:
            pass
        resumed = _Kept(lab.device)
        outcome = Training(spec, resumed, SlotClock(None)).run()
    finally:
        fit.CHECKPOINT_SECONDS = before
    apart = abs(resumed.values[-1] - uninterrupted.values[-1])
    found.figures |= {"curve": uninterrupted.values, "resumed": resumed.values, "losses_apart": apart}
    found.figures |= {"notes": outcome.notes}
    found.goals |= {
        "resumed where it was": len(resumed.values) < len(uninterrupted.values),
        "the last loss of the uninterrupted (0.1)": apart < 0.1,
        "predictions and model are saved": bool(outcome.predictions_file and outcome.model_dir),
    }
    recipe = {"augmentation": "trivial", "mixup_alpha": 0.2, "smallest_crop": 0.5, "mirror_share": 0.5}
    kinds: list[tuple[str, str, dict[str, Any]]] = [("augmented", "vit-base", {"recipe": recipe})]
    if installed("peft"):
        kinds.append(("lora", "bert-base", {"adaptation": "lora"}))
    else:
        found.without.append("LoRA: peft is not installed")
    for name, size, kind in kinds:
        with learning(lab.spec(size, batch, 3, **kind), lab.device) as training:
            found.figures[name] = losses(training, 3)
        found.goals[f"{name}: losses are numbers"] = bool(np.isfinite(found.figures[name]).all())
    return found


class _Kept(Alone):
    """One worker that keeps the values it reports, and stops after so many."""

    def __init__(self, device: torch.device, stop_after: int | None = None) -> None:
        super().__init__(device)
        self.values: list[float] = []
        self._stop_after = stop_after

    def report(self, report: Any) -> None:
        self.values.append(report.row["train_loss"])
        if len(self.values) == self._stop_after:
            raise InterruptedError


def store_section(lab: Lab) -> Found:
    """Rows a second with half of the blocks frozen: their activations computed anew, and read from the store."""
    batch, steps = lab.of(64, 4), lab.of(60, 3)
    rows = batch * max(steps // 3, 1)
    spec = lab.spec("bert-base", batch, steps, rows=rows, uneven=True, recipe={"frozen_share": 0.5})
    found, quota, curves = Found(), frozen_prefix.QUOTA_BYTES, dict[str, list[float]]()
    trainings: dict[str, Training] = {}
    try:
        for name in ("off", "on"):
            frozen_prefix.QUOTA_BYTES = quota if name == "on" else 0
            began = time.perf_counter()
            trainings[name] = set_up(spec, lab.device)
            found.figures[f"{name}_set_up_seconds"] = time.perf_counter() - began
            curves[name] = losses(trainings[name], min(steps, 5))
    finally:
        frozen_prefix.QUOTA_BYTES = quota
    found.figures |= _faster(lab, trainings)
    apart = float(np.abs(np.subtract(curves["on"], curves["off"])).max())
    found.figures["losses_apart"] = apart
    reads = [trainings[name].stores_activations for name in ("on", "off")]
    found.goals["read from the store"] = reads == [True, False]
    found.goals["the same losses (0.02)"] = apart < 0.02
    if not lab.tiny:
        found.goals["faster than without"] = found.figures["times_faster"] > 1
    return found


def compile_section(lab: Lab) -> Found:
    """Rows a second with torch.compile and without, on batches of many lengths; and how often it compiled."""
    spec = lab.spec("bert-base", lab.of(64, 4), lab.of(60, 2), uneven=True)
    without = []
    if lab.tiny:  # its back end may need a C++ compiler, and a minute
        compute.COMPILER, without = "eager", ["kernels: toys are traced alone"]
    counters.clear()
    trainings = {"off": set_up(spec, lab.device), "on": set_up(replace(spec, compile=True), lab.device)}
    began = time.perf_counter()
    losses(trainings["on"], 2)
    found = Found({"first_steps_seconds": time.perf_counter() - began}, without=without)
    found.figures |= _faster(lab, trainings)
    graphs, notes = int(counters["stats"]["unique_graphs"]), trainings["on"].outcome.notes
    found.figures |= {"graphs": graphs, "notes": notes}
    found.goals["it compiled"] = not notes
    found.goals["no more than 2 graphs for batches of many lengths"] = graphs <= 2
    if not lab.tiny:
        found.goals["faster than without"] = found.figures["times_faster"] > 1
    return found


def _faster(lab: Lab, trainings: dict[str, Training]) -> dict[str, Any]:
    """Rows a second of trainings that are "on" and "off", in turn, and how many times faster "on" is."""
    rates: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in lab.repeats(3):
        for name, training in trainings.items():
            rates[name].append(rate_of(training))
    figures: dict[str, Any] = {f"{name}_rows_per_second": summary(values) for name, values in rates.items()}
    return figures | {"times_faster": statistics.median(rates["on"]) / statistics.median(rates["off"])}


def together_section(lab: Lab) -> Found:
    """Two trials that share the device, each in a process that keeps to its half, against one at a time."""
    batch, steps = lab.of(32, 4), lab.of(150, 3)
    spec = lab.spec("bert-base", batch, steps)
    beside = _trials(lab, spec, 2)
    alone = beside[:1] if lab.tiny else _trials(lab, spec, 1)
    rates = {"one": alone[0]["rows_per_second"], "two": sum(one["rows_per_second"] for one in beside)}
    found = Found({"rows_per_second": rates, "times_faster": rates["two"] / rates["one"], "trials": beside})
    if lab.device.type == "cuda":
        found.goals["each keeps to its half"] = all(one["kept_to_share"] for one in beside)
    if not lab.tiny:
        found.goals["two beside each other are no slower than one after the other"] = rates["two"] >= rates["one"]
    return found


def _trials(lab: Lab, spec: TrialSpec, count: int) -> list[dict[str, Any]]:
    """What so many trials beside each other say of themselves; all wait for each other before they learn."""
    gate = Path(tempfile.mkdtemp(dir=lab.work))
    command = [sys.executable, __file__, "--trial", str(gate), "--device", lab.device.type, "--trials", str(count)]
    for number in range(count):
        run = gate / f"run{number}"
        (run / "logs" / "heartbeats").mkdir(parents=True)
        (gate / f"{number}.json").write_text(json.dumps(replace(spec, run_directory=str(run)).to_json()))
    running = [subprocess.Popen([*command, "--number", str(number)]) for number in range(count)]
    try:
        for process in running:
            process.wait(timeout=max(lab.until - time.monotonic(), 1))
    finally:
        for process in running:
            process.kill()
            process.wait()
    if any(process.returncode for process in running):
        raise RuntimeError(f"trials ended with {[process.returncode for process in running]}")
    return [json.loads((gate / f"{number}.done").read_text()) for number in range(count)]


def run_trial(gate: Path, number: int, trials: int, device: torch.device) -> None:
    """One of several trials, as a slot would start it."""
    spec = TrialSpec.from_json(json.loads((gate / f"{number}.json").read_text()))
    warm_process("full", device)
    keep_to_share(1 / trials)
    training = set_up(spec, device)
    losses(training, 2)
    synchronise(device)
    (gate / f"{number}.ready").touch()
    while len(list(gate.glob("*.ready"))) < trials:
        time.sleep(0.01)
    found = {
        "rows_per_second": rate_of(training),
        "peak_memory_bytes": peak_memory_bytes(device),
        "kept_to_share": device.type == "cuda" and (trials == 1 or _is_refused_more(device, 1 / trials)),
    }
    (gate / f"{number}.done").write_text(json.dumps(found))


def _is_refused_more(device: torch.device, share: float) -> bool:
    total = torch.cuda.get_device_properties(device).total_memory
    try:
        torch.empty(int(fraction_for_tensors(share, total) * total) + 2**20, dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:
        return True
    return False


# name: what runs, and the seconds that it gets at most on a GPU
SECTIONS: dict[str, tuple[Callable[[Lab], Found], float]] = {
    "loop bert-base": (loop_section("bert-base", 128, 40), 70),
    "memory": (memory_section, 60),
    "float16": (scaler_section, 40),
    "exchange": (exchange_section, 40),
    "shards": (shards_section, 50),
    "training": (training_section, 70),
    "two trials": (together_section, 70),
    "prefix store": (store_section, 50),
    "loop vit-base": (loop_section("vit-base", 64, 40), 70),
    "loop bert-base, small batches": (loop_section("bert-base", 16, 60), 60),
    "loop llama-300m": (loop_section("llama-300m", 64, 20), 90),
    "compile": (compile_section, 120),
}


# -- running them ----------------------------------------------------------------------------------------


def one_line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:500]


def run_here(name: str, lab: Lab) -> dict[str, Any]:
    """A section in this process: its verdict, its goals, its figures."""
    began = time.monotonic()
    try:
        found = SECTIONS[name][0](lab)
    except Exception as problem:
        traceback.print_exc()
        return {"verdict": "failed", "reason": one_line(problem), "seconds": time.monotonic() - began}
    missed = [goal for goal, met in found.goals.items() if not met]
    return {
        "verdict": "missed" if missed else "ok", "missed": missed, "goals": found.goals, "without": found.without,
        "figures": found.figures, "seconds": time.monotonic() - began,
    }  # fmt: skip


def run_apart(command: list[str], file: Path, seconds: float) -> dict[str, Any]:
    """A section in a process of its own that writes its result to the file, ended after so many seconds."""
    try:
        done = subprocess.run(command, timeout=seconds, check=False, stdout=2)  # the one JSON has ours to itself
    except subprocess.TimeoutExpired:
        return {"verdict": "failed", "reason": f"not done after {seconds:.0f} s", "seconds": seconds}
    if not file.exists():
        return {"verdict": "failed", "reason": f"its process ended with {done.returncode}"}
    result: dict[str, Any] = json.loads(file.read_text())
    return result


def line_of(name: str, result: dict[str, Any]) -> str:
    """The verdict in one line, with the figures that matter."""
    figures = result.get("figures", {})
    shown = [f"{key} {figures[key]:.3g}" for key in SHOWN if key in figures]
    if busy := figures.get("gpu_percent"):
        shown.append(f"GPU busy {busy['median']:.0f}%")
    missed = [f"not: {goal}" for goal in result.get("missed", ())]
    without = [f"not measured: {what}" for what in result.get("without", ())]
    verdict = result["verdict"] if result["verdict"] in ("ok", "skipped") else result["verdict"].upper()
    said = "; ".join([*([result["reason"]] if "reason" in result else []), *missed, *shown, *without])
    return f"{verdict:<8}{name:<30}{result.get('seconds', 0):>6.1f} s  {said}"


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine(device: torch.device) -> dict[str, Any]:
    said: dict[str, Any] = {
        "device": str(device), "host": platform.platform(), "python": platform.python_version(),
        "cores": os.cpu_count(), "threads": torch.get_num_threads(), "load": os.getloadavg(),
        "versions": {name: installed(name) for name in PACKAGES},
    }  # fmt: skip
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        said |= {"gpu": about.name, "gpu_bytes": about.total_memory, "capability": [about.major, about.minor]}
        said |= {"cuda": torch.version.cuda, "nccl": list(torch.cuda.nccl.version())}
        said |= {"precision": str(fit.autocast_dtype(device))}
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="toys, and every section in this process")
    parser.add_argument("--only", help="sections, joined by +: " + "; ".join(SECTIONS))
    parser.add_argument("--seconds", type=float, default=ALL_SECONDS, help="for all sections together")
    parser.add_argument("--out", type=Path, help="a file for the JSON as well")
    for name, kind in (("--section", str), ("--work", Path), ("--trial", Path), ("--number", int), ("--trials", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    device = torch.device(arguments.device)
    if arguments.trial:
        run_trial(arguments.trial, arguments.number, arguments.trials, device)
        return 0
    until = time.monotonic() + arguments.seconds
    if arguments.section:
        lab = Lab(device, arguments.tiny, arguments.work, until)
        arguments.out.write_text(json.dumps(run_here(arguments.section, lab)))
        return 0
    wanted = list(SECTIONS) if arguments.only is None else [name.strip() for name in arguments.only.split("+")]
    if unknown := [name for name in wanted if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]!r}; there are: {'; '.join(SECTIONS)}")
    results = {}
    with tempfile.TemporaryDirectory() as work:
        for number, name in enumerate(wanted):
            left = until - time.monotonic()
            results[name] = run_one(name, number, Path(work), arguments, device, left)
            print(line_of(name, results[name]), file=sys.stderr, flush=True)
    said = json.dumps({"machine": machine(device), "tiny": arguments.tiny, "sections": results})
    print(said)
    if arguments.out:
        arguments.out.write_text(said)
    return int(any(result["verdict"] == "failed" for result in results.values()))


def run_one(
    name: str, number: int, work: Path, arguments: argparse.Namespace, device: torch.device, left: float
) -> dict[str, Any]:
    if left < STARTS_SECONDS:
        return {"verdict": "skipped", "reason": "no time was left"}
    seconds = min(SECTIONS[name][1], left)
    if arguments.tiny:
        return run_here(name, Lab(device, True, work, time.monotonic() + left))
    file = work / f"{number}.json"
    command = [sys.executable, __file__, "--section", name, "--device", device.type, "--work", str(work)]
    # it is to stop by itself before it is stopped
    return run_apart([*command, "--seconds", str(0.7 * seconds), "--out", str(file)], file, seconds)


if __name__ == "__main__":
    sys.exit(main())
