import importlib.metadata
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl.errors import RequestError
from automl.registry import _import_all, get_part, parts

BASE = """
from abc import ABC, abstractmethod

class Animal(ABC):
    name: str

    @abstractmethod
    def sound(self) -> str: ...
"""
CAT = """
from {package}.base import Animal

class Cat(Animal):
    name = "cat"

    def sound(self) -> str:
        return "meow"
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real package of parts on the import path, gone afterwards."""
    name = f"zoo_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "base.py").write_text(BASE)
    (folder / "cat.py").write_text(CAT.format(package=name))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]
    _import_all.cache_clear()


def animal(package: str) -> type:
    return importlib.import_module(f"{package}.base").Animal


def test_a_part_in_a_new_file_is_found_without_being_named_anywhere(package: str, tmp_path: Path) -> None:
    dog = CAT.format(package=package).replace("Cat", "Dog").replace("cat", "dog").replace("meow", "woof")
    (tmp_path / package / "dog.py").write_text(dog)
    found = parts(package, animal(package))
    assert list(found) == ["cat", "dog"]
    assert found["dog"].sound() == "woof"


def test_an_abstract_part_is_not_offered(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "big.py").write_text(
        textwrap.dedent(f"""
        from abc import abstractmethod
        from {package}.base import Animal

        class Big(Animal):
            @abstractmethod
            def weight(self) -> int: ...
        """)
    )
    assert list(parts(package, animal(package))) == ["cat"]


def test_a_broken_part_raises_and_is_never_skipped(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "broken.py").write_text("import no_such_package_anywhere")
    with pytest.raises(ModuleNotFoundError, match="no_such_package_anywhere"):
        parts(package, animal(package))


def test_an_unknown_part_names_the_near_miss(package: str) -> None:
    with pytest.raises(RequestError, match="animal 'cta' is unknown; one of cat. Did you mean 'cat'"):
        get_part(package, animal(package), "cta")


def test_an_installed_plug_in_is_found_and_a_broken_one_raises(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plug-ins come as real metadata on the import path, as pip would leave it."""
    plugins = tmp_path / "plugins"
    metadata = plugins / "owl-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: owl\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{package}]\nowl = {package}_owl:Owl\n")
    owl = CAT.format(package=package).replace("Cat", "Owl").replace("cat", "owl")
    (plugins / f"{package}_owl.py").write_text(owl)
    monkeypatch.syspath_prepend(str(plugins))
    assert list(parts(package, animal(package))) == ["cat", "owl"]

    _import_all.cache_clear()
    del sys.modules[f"{package}_owl"]
    (plugins / f"{package}_owl.py").write_text("raise RuntimeError('the owl is ill')")
    importlib.invalidate_caches()
    with pytest.raises(RuntimeError, match="the owl is ill"):
        parts(package, animal(package))
