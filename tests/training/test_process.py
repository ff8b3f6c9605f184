"""The process that trains: its share of a GPU, and that every name of torch that is asked for is one."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from automl.models.blocks import autocast_dtype
from automl.training.memory import is_out_of_memory
from automl.training.process import CONTEXT_BYTES, fraction_for_tensors, to_device
from automl.training.step import read_later

ROOT = Path(__file__).parents[2]
GIB = 2**30


@pytest.mark.parametrize("trials", [2, 3, 8])
def test_trials_that_share_a_gpu_never_ask_for_more_than_it_has(trials: int) -> None:
    """Their tensors, and what CUDA takes for itself in each of their processes."""
    total = 80 * GIB
    each = fraction_for_tensors(1 / trials, total) * total + CONTEXT_BYTES
    assert each * trials <= total * (1 + 1e-9)
    assert each > total / trials * 0.99


def test_of_a_small_gpu_a_trial_keeps_half_of_its_share_at_least() -> None:
    assert fraction_for_tensors(0.25, 4 * GIB) == pytest.approx(0.125)


def test_a_gpu_that_only_emulates_bfloat16_computes_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "including_emulation" in inspect.signature(torch.cuda.is_bf16_supported).parameters
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert autocast_dtype(torch.device("cuda")) == torch.float16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert autocast_dtype(torch.device("cuda")) == torch.bfloat16


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "NCCL error in: x.cpp:77, unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'",
    ],
)
def test_what_cudas_libraries_say_of_a_full_gpu_is_out_of_memory(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize("words", ["CUDA error: device-side assert triggered", "CUDNN_STATUS_EXECUTION_FAILED"])
def test_other_errors_of_a_gpu_are_not(words: str) -> None:
    assert not is_out_of_memory(RuntimeError(words))


def test_on_the_host_nothing_is_copied_and_a_value_is_read_as_it_is() -> None:
    values = torch.arange(3.0, requires_grad=True)
    assert to_device(values, torch.device("cpu")) is values
    assert read_later(values.sum())() == 3.0


def names_of_torch(source: str) -> Iterator[str]:
    """Every dotted name that begins with `torch` in a program."""
    for node in ast.walk(ast.parse(source)):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id == "torch":
            yield ".".join(reversed(parts))


def test_every_name_of_torch_is_one() -> None:
    """Lines for GPUs run on no machine without one; a name that torch has not would be found by a user."""
    unknown = set()
    for file in [*(ROOT / "automl").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        for name in names_of_torch(file.read_text(encoding="utf-8")):
            value: object = torch
            for part in name.split("."):
                if not hasattr(value, part):
                    unknown.add(f"{file.relative_to(ROOT)}: torch.{name}")
                    break
                value = getattr(value, part)
                if isinstance(value, torch.Tensor) or inspect.isroutine(value):
                    break
    assert not unknown
