"""The benchmark of a GPU is ready for the first machine that has one: its code runs here, with toys on a CPU."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILE = ROOT / "benchmarks" / "gpu.py"
ABSENT = ("ray", "optuna", "pydantic", "datasets", "ftfy", "py3langid", "python_calamine", "plotly", "wandb")
"""What the machine that has a GPU has not."""
WITHOUT = f"""
import runpy, sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {ABSENT} else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
sys.path.insert(0, {str(FILE.parent)!r})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FILE.parent))
    specification = importlib.util.spec_from_file_location("gpu", FILE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "gpu", module)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_section_runs_with_toys_where_little_more_than_torch_is_installed(gpu: ModuleType) -> None:
    """But one section whose code is that of another."""
    sections = [name for name in gpu.SECTIONS if name != "loop bert-base, small batches"]
    command = [sys.executable, "-c", WITHOUT, str(FILE), "--tiny", "--device", "cpu", "--only", "+".join(sections)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    verdicts = {name: (result["verdict"], result.get("missed")) for name, result in said["sections"].items()}
    assert all(verdict == ("ok", []) for verdict in verdicts.values()), verdicts
    figures = {name: result["figures"] for name, result in said["sections"].items()}
    assert figures["exchange"]["backend"] == figures["shards"]["backend"] == "gloo"
    assert figures["memory"]["rows_at_once"] == 4
    assert figures["memory"]["halved"] == figures["memory"]["accumulated"]
    assert figures["float16"]["scale"] > 1
    assert said["machine"]["versions"]["torch"]


def test_a_section_that_breaks_or_hangs_stops_no_other(gpu: ModuleType, tmp_path: Path) -> None:
    def breaks(lab: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    gpu.SECTIONS = {"breaks": (breaks, 1.0), "misses": (lambda lab: gpu.Found(goals={"fast": False}), 1.0)}
    broken, missed = gpu.run_here("breaks", None), gpu.run_here("misses", None)
    assert (broken["verdict"], missed["verdict"]) == ("failed", "missed")
    assert "illegal memory access" in gpu.line_of("breaks", broken)
    assert gpu.line_of("misses", missed).startswith("MISSED")
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert "not done after" in gpu.run_apart(sleeps, tmp_path / "a", 0.2)["reason"]
    dies = [sys.executable, "-c", "import os; os._exit(134)"]
    assert gpu.run_apart(dies, tmp_path / "b", 30)["reason"] == "its process ended with 134"


def test_the_whole_benchmark_ends_within_its_time_whatever_its_sections_take(gpu: ModuleType) -> None:
    """8 minutes, of which Python's start and the JSON take some seconds."""
    assert gpu.ALL_SECONDS <= 465
    assert all(gpu.STARTS_SECONDS < seconds < gpu.ALL_SECONDS / 3 for _, seconds in gpu.SECTIONS.values())
