"""What is built holds what is needed: the wheel and the sdist carry spaces, templates and the example."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of the checkout and the wheel that was built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def needed() -> list[str]:
    """Every file that is no Python and that the package reads when it runs."""
    kinds = (".html", ".css", ".js", ".j2", ".jinja", ".csv", ".md", ".typed")
    found = [path for path in (ROOT / "automl").rglob("*") if path.suffix in kinds or path.name == "py.typed"]
    spaces = [f"automl/search_spaces/{path.name}" for path in (ROOT / "search_spaces").iterdir()]
    return [path.relative_to(ROOT).as_posix() for path in found] + spaces


def test_the_wheel_holds_every_file_that_is_read_at_run_time(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "automl/example/messages.csv",
        "automl/py.typed",
        "automl/search_spaces/text_encoder_small.yaml",
    } <= names
    assert set(needed()) <= names
    assert not [name for name in names if name.startswith(("tests/", "search_spaces/")) or "__pycache__" in name]


def test_the_sdist_can_be_built_and_tested_from(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    names = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    assert {
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
        "LICENSE",
        "README.md",
        "tests/test_packaging.py",
    } <= names
    assert {"search_spaces/text_encoder_small.yaml", "automl/example/messages.csv"} <= names
    assert not [name for name in names if name.startswith(("runs/", ".venv/"))]


def test_an_installed_wheel_lists_its_spaces_and_finds_its_example(built: Path, tmp_path: Path) -> None:
    """Installed alone into a folder; its dependencies come from the environment of the tests."""
    [wheel] = built.glob("*.whl")
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(target), str(wheel)], check=True, cwd=tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import automl; from importlib.resources import files; from automl.cli import main\n"
        f"assert automl.__file__.startswith({str(target)!r}), automl.__file__\n"
        "example = files('automl') / 'example' / 'messages.csv'\n"
        "assert main(['spaces', 'list']) == 0\n"
        "assert main(['inspect', str(example), '--target', 'intent']) == 0\n"
        "from automl.leaderboard import report"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"text_encoder_base", "text_encoder_small"} <= {
        line.split()[0] for line in done.stdout.splitlines() if line
    }
    assert "damaged item" in done.stdout


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=!~ ;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def test_the_constraints_pin_every_dependency_and_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^-|@ ", text, flags=re.MULTILINE)
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    wanted = {distribution(line) for line in (*PROJECT["dependencies"], *extras)} - {"automl"}
    assert wanted <= set(pins())


def test_the_pinned_torch_has_no_local_version() -> None:
    """'2.13.0' is met by '2.13.0+cpu' where pip is offered one; '2.13.0+cpu' is met by nothing elsewhere."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", pins()["torch"])


def test_dev_holds_every_extra() -> None:
    extras = PROJECT["optional-dependencies"]
    held = {
        name for line in extras["dev"] for found in re.findall(r"automl\[(.*?)\]", line) for name in found.split(",")
    }
    assert held == set(extras) - {"dev"}


def test_every_optional_dependency_names_the_file_that_needs_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    dependencies = [line for line in lines if re.match(r'^    "(?!automl)[A-Za-z0-9\[\],-]+>=', line)]
    assert len(dependencies) > 20
    for line in dependencies:
        comment = line.partition("#")[2]
        assert comment.strip(), line
        for file in re.findall(r"[\w/]+\.py", comment):
            assert (ROOT / file).exists(), f"{line}: {file} does not exist"
