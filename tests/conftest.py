"""No network, no telemetry, no GPU by default; the same for every test."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

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
    """Begin with the files of whole runs, then with those that have slow tests: at the end nobody waits for one."""
    of_ray = {item.path for item in items if _shares_ray(item)}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in of_ray, item.path not in slow))


def _shares_ray(item: pytest.Item) -> bool:
    return "one_ray" in getattr(item, "fixturenames", ())


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in a folder of its own: no run folder is left in the checkout."""
    monkeypatch.chdir(str(tmp_path))


@pytest.fixture(scope="session")
def _rays() -> Iterator[ExitStack]:
    with ExitStack() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def _ray_of_others(request: pytest.FixtureRequest, _rays: ExitStack) -> None:
    """A file that does not ask for the session that others share has none."""
    path = request.node.path
    if not any(item.path == path and _shares_ray(item) for item in request.session.items):
        _rays.close()


@pytest.fixture(scope="module")
def one_ray(_rays: ExitStack) -> None:
    """A Ray session that whole runs of all files share: each would else wait for its own to start."""
    import ray

    from automl.search.session import ray_session

    if not ray.is_initialized():
        _rays.close()
        _rays.enter_context(ray_session(None))
