"""The house keeps its shape: who may import whom, what stays light, how long a file may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "automl"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 400

# Strictly downwards: a room imports only rooms of a lower number.
LEVELS = {
    "addresses": 0, "errors": 0, "types": 0,
    "registry": 1, "config": 1, "metrics": 1, "provenance": 1,
    "pages": 1, "quiet": 1, "scratch": 1, "streams": 1,
    "data": 2, "tracking": 2, "storage": 2,
    "leaderboard": 3,
    "tasks": 4, "models": 4,
    "training": 5,
    "search": 6,
    "predict": 7, "staging": 7,
    "finished": 8,
    "api": 9,
    "terminal": 10,
    "progress": 11, "doctor": 11,
    "watch": 12, "jobs": 12,
    "commands": 13,
    "endings": 14,
    "cli": 15,
    "__init__": 16, "__main__": 16,
}  # fmt: skip
# The first level knows errors and types of its own level's neighbours: errors are for everyone.
FOR_EVERYONE = {"errors", "types"}
HEAVY = {"torch", "transformers", "ray", "datasets"}
RAY_IN_TRAINING = {("training", name) for name in ("workers", "groups", "standing_group")}
NEVER_IN = {
    "ray": lambda file: (
        file.parent.name == "search"
        or file.parts[-2:] == ("jobs", "cluster.py")
        or (file.parent.name, file.stem) in RAY_IN_TRAINING
    ),
    "wandb": lambda file: file.parent.name == "tracking" and file.stem.startswith("wandb"),
}


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """Every module a file imports, lazily or not; `from automl import x` counts as automl.x."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import; rooms are named in full"
            assert node.module
            if node.module == "automl":
                yield from (f"automl.{alias.name}" for alias in node.names)
            else:
                yield node.module


def rooms_imported(file: Path) -> set[str]:
    named = {module.split(".")[1] for module in imports(file) if module.startswith("automl.")}
    return named - {"__version__", room_of(file)}


def test_every_module_has_a_place_in_the_house() -> None:
    assert {room_of(file) for file in FILES} <= set(LEVELS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_strictly_down(file: Path) -> None:
    own = LEVELS[room_of(file)]
    upwards = {room for room in rooms_imported(file) - FOR_EVERYONE if LEVELS[room] >= own}
    assert not upwards, f"{file.relative_to(ROOT)} (level {own}) imports {sorted(upwards)}"


def test_tasks_and_models_never_import_each_other() -> None:
    for file in FILES:
        if room_of(file) == "tasks":
            assert "models" not in rooms_imported(file), file
        if room_of(file) == "models":
            assert "tasks" not in rooms_imported(file), file


@pytest.mark.parametrize("package", NEVER_IN)
def test_ray_and_wandb_are_imported_only_where_they_belong(package: str) -> None:
    wrong = [
        str(file.relative_to(ROOT))
        for file in FILES
        if not NEVER_IN[package](file) and package in {module.split(".")[0] for module in imports(file)}
    ]
    assert not wrong


def test_no_array_is_shared_through_rays_object_store() -> None:
    """A tensor made of one ignores that it is read-only: a write in one process changes it for every other."""
    for file in FILES:
        source = file.read_text(encoding="utf-8")
        assert not any(word in source for word in ("ray.put(", "tune.with_parameters(")), file


def test_the_leaderboard_names_neither_torch_nor_transformers_nor_ray() -> None:
    for file in FILES:
        if room_of(file) == "leaderboard":
            assert not HEAVY & {module.split(".")[0] for module in imports(file)}, file


def loaded_after(statement: str) -> set[str]:
    """The top-level packages that are loaded in a new process after a statement."""
    program = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "statement",
    [
        "import automl",
        "from automl.cli import build_parser; build_parser('').format_help()",
        "from automl.cli import build_parser; build_parser('run').format_help()",
        "from automl.cli import build_parser; build_parser('doctor').format_help()",
        "from automl.cli import build_parser; build_parser('submit').format_help()",
    ],
)
def test_import_and_help_stay_light(statement: str) -> None:
    assert not loaded_after(statement) & (HEAVY | {"pandas", "pyarrow", "sklearn", "scipy", "numpy"})


@pytest.mark.parametrize("module", ["board", "report", "score", "statistics", "store"])
def test_a_board_is_recomputed_without_loading_torch(module: str) -> None:
    assert not loaded_after(f"import automl.leaderboard.{module}") & HEAVY


def test_the_api_loads_neither_torch_nor_ray_before_a_run() -> None:
    assert not loaded_after("import automl.api") & HEAVY


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_file_is_over_four_hundred_lines(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_public_names_are_honest() -> None:
    import automl

    assert len(automl.__all__) <= 15
    assert sorted(automl.__all__) == dir(automl)
    for name in automl.__all__:
        assert getattr(automl, name) is not None
    with pytest.raises(AttributeError, match="public names"):
        automl.no_such_name  # noqa: B018


def test_public_functions_survive_the_import_of_every_room() -> None:
    """A submodule of the same name would replace a public function once it is imported."""
    import automl

    submodules = {file.stem for file in PACKAGE.glob("*.py")} | {
        path.name for path in PACKAGE.iterdir() if path.is_dir()
    }
    assert not submodules & set(automl.__all__)
