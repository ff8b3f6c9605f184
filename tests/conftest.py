"""No network, no telemetry, no GPU by default; the same for every test."""

import os
from collections.abc import Iterator

import pytest

# Before anything imports these libraries: they read their environment once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # else a Ray starves while another file's tests run beside it
os.environ["OMP_NUM_THREADS"] = "1"  # two files' tests share the cores: threads that wait for each other took minutes
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for name in ("WANDB_API_KEY", "RAY_ADDRESS"):
    os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: at the end no file is left that the others wait for."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in a folder of its own: no run folder is left in the checkout."""
    monkeypatch.chdir(str(tmp_path))


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """A Ray session that the whole runs of a file share: each would else wait for its own to start."""
    from automl.search.session import ray_session

    with ray_session(None):
        yield
