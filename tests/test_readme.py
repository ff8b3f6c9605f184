"""What the documents say is true: commands parse; options, files, extras and public names exist."""

import argparse
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from automl.cli import COMMANDS, build_parser, parse
from automl.config import RunRequest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "CHANGELOG.md", "automl/example/README.md", "search_spaces/README.md")
    if (ROOT / name).exists()
}


def commands(text: str) -> list[str]:
    """Every automl command in a code block, fenced or indented, without what is said beside it."""
    parts = text.split("```")
    code = [line for part in parts[1::2] for line in part.splitlines()]
    code += [line for part in parts[::2] for line in part.splitlines() if line.startswith("    ")]
    found = (re.match(r"\s*(automl .*?)(?:\s+#.*|\s{2,}\S.*)?$", line) for line in code)
    return [match[1] for match in found if match]


README_COMMANDS = [line for text in DOCUMENTS.values() for line in commands(text)]


def test_the_readme_has_commands_to_check() -> None:
    assert len(README_COMMANDS) > 10


@pytest.mark.parametrize("line", README_COMMANDS)
def test_every_command_in_the_documents_parses(line: str) -> None:
    parsed = parse(shlex.split(line)[1:])
    assert parsed.command in COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_told_in_the_readme(command: str) -> None:
    assert re.search(rf"automl {command}\b|make {command}\b", README)


def test_every_option_that_the_readme_names_exists() -> None:
    known = {f"--{name.replace('_', '-')}" for name in RunRequest.model_fields}
    (commands_of,) = (one for one in build_parser()._actions if isinstance(one, argparse._SubParsersAction))
    known |= {option for child in commands_of.choices.values() for option in child._option_string_actions}
    known |= {"--json", "--dry-run", "--config", "--help", "--constraint"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= known


def test_every_make_target_in_the_readme_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = set(re.findall(r"^make ([a-z]+)", README, flags=re.MULTILINE))
    assert {"demo", "test", "check"} <= named <= set(targets)


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_extra_in_the_readme_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {extra for extras in re.findall(r"\.\[([a-z,]+)\]", README) for extra in extras.split(",")}
    assert named
    assert named <= set(project["optional-dependencies"])


def tree(start: str) -> list[str]:
    """The names at the beginning of each line of the file tree that starts with a folder."""
    block = README.split(f"```\n{start}\n", 1)[1].split("```", 1)[0]
    return [line.split()[0] for line in block.splitlines() if line.strip()]


def test_the_file_tree_names_only_what_exists_and_every_folder() -> None:
    names = tree("automl/")
    for name in names:
        assert (ROOT / "automl" / name).exists() or (ROOT / name).exists(), name
    folders = {f"{path.name}/" for path in (ROOT / "automl").iterdir() if path.is_dir() and path.name[0] not in "_."}
    assert folders <= set(names)


def test_every_python_name_in_the_readme_is_public() -> None:
    import automl

    assert set(re.findall(r"\bautoml\.([a-zA-Z_]+)\(", README)) <= set(automl.__all__)


def test_the_readme_keeps_its_first_page_short() -> None:
    first_page = README.splitlines()[:40]
    for part in ("make demo", "automl run", "import automl"):
        assert any(part in line for line in first_page)


def test_every_command_in_the_changelog_exists() -> None:
    named = set(re.findall(r"`automl ([a-z]+)", DOCUMENTS["CHANGELOG.md"]))
    assert named <= set(COMMANDS)
