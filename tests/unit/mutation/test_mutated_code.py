"""Mutated code works in place of the module's, and only there."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mutation.mutants import mutants_of
from mutation.mutated_code import MutatedModule, exchange, loaded_functions

_SOURCE = """
import functools

SIZE = 1

def twice(value):
    return value * 2

def adds(number):
    @functools.cache
    def add(value):
        return value + number + 0
    return add

class Shape:
    @property
    def sides(self):
        return 4

add_one = adds(1)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "mutated_example.py").write_text(_SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield importlib.import_module("mutated_example")
    del sys.modules["mutated_example"]


def _exchange(module: ModuleType, after: str) -> bool:
    path = Path(str(module.__file__))
    (mutant,) = [mutant for mutant in mutants_of(path) if mutant.after == after]
    assert mutant.unit is not None
    return exchange(loaded_functions([path]), path, mutant.unit, mutant.source)


def test_a_function_that_is_already_known_elsewhere_is_changed(module: ModuleType) -> None:
    known = module.twice
    assert _exchange(module, "return value / 2")
    assert known(6) == 3


def test_a_property_is_changed(module: ModuleType) -> None:
    shape = module.Shape()
    assert _exchange(module, "return 5")
    assert shape.sides == 5


def test_a_function_made_before_by_a_changed_one_is_changed(module: ModuleType) -> None:
    assert _exchange(module, "return value - number + 0")
    assert module.add_one(5) == 4
    assert module.adds(2)(5) == 3


def test_a_function_that_was_never_made_needs_an_import(module: ModuleType) -> None:
    path = Path(str(module.__file__))
    mutant = next(mutant for mutant in mutants_of(path) if mutant.unit is not None)
    assert mutant.unit is not None
    assert not exchange({}, path, mutant.unit, mutant.source)


def test_a_module_is_imported_from_the_source_of_the_mutant(module: ModuleType) -> None:
    path = Path(str(module.__file__))
    (mutant,) = [mutant for mutant in mutants_of(path) if mutant.after == "SIZE = 2"]
    del sys.modules["mutated_example"]
    MutatedModule(path, mutant.source).install()
    changed = importlib.import_module("mutated_example")
    assert (changed.SIZE, changed.__file__) == (2, str(path))
    assert path.read_text("utf-8") == _SOURCE
    assert sorted(child.name for child in path.parent.iterdir()) == ["mutated_example.py"]
    sys.modules["mutated_example"] = changed
