"""Tests are chosen by the lines that they execute."""

from pathlib import Path

import pytest

from mutation.mutants import Mutant, mutants_of
from mutation.selection import SECONDS_PER_MUTANT, Selection

_SOURCE = """
LIMIT = 9

class Store:
    size = 8

    def save(self, count=7):
        return (count +
                6)

def unused():
    return 5
"""
_UNIT, _OTHER = "tests/unit/package/test_store.py::", "tests/unit/other/test_other.py::"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "store.py").write_text(_SOURCE, encoding="utf-8")
    return folder / "store.py"


def _selection(module: Path, tests: dict[int, set[str]], **seconds: float) -> Selection:
    names = set().union(*tests.values())
    times = {name: seconds.get(name.partition("::")[2], 0.1) for name in names}
    return Selection(times, tests={module: tests}, at_import={module: {11}})


def _mutant(module: Path, before: str) -> Mutant:
    return next(mutant for mutant in mutants_of(module) if mutant.before == before)


def test_the_tests_of_the_whole_statement_are_run_fastest_first(module: Path) -> None:
    a, b, c = (_UNIT + name for name in "abc")
    selection = _selection(module, {8: {a, b}, 9: {c}, 12: {_UNIT + "d"}}, a=3.0, b=1.0, c=2.0)
    assert selection.for_mutant(_mutant(module, "6)")) == [b, c, a]


def test_the_tests_of_the_package_are_run_before_faster_ones(module: Path) -> None:
    own, other = _UNIT + "own", _OTHER + "other"
    selection = _selection(module, {8: {own, other}}, own=2.0, other=0.1)
    assert selection.for_mutant(_mutant(module, "6)")) == [own, other]


def test_the_tests_of_a_file_are_run_one_after_the_other(module: Path) -> None:
    other = "tests/unit/package/test_other.py::"
    a, b, c, d = _UNIT + "a", other + "b", _UNIT + "c", other + "d"
    selection = _selection(module, {8: {a, b, c, d}}, a=1.0, b=1.5, c=2.0, d=2.5)
    assert selection.for_mutant(_mutant(module, "6)")) == [a, c, b, d]


def test_the_longest_tests_are_left_out_of_a_mutant_that_would_take_too_long(module: Path) -> None:
    slow, quick = _UNIT + "slow", _UNIT + "quick"
    selection = _selection(module, {8: {slow, quick}}, slow=SECONDS_PER_MUTANT)
    assert selection.for_mutant(_mutant(module, "6)")) == [quick]
    only_slow = _selection(module, {8: {slow}}, slow=SECONDS_PER_MUTANT + 1)
    assert only_slow.for_mutant(_mutant(module, "6)")) == [slow]


def test_no_test_is_run_where_none_comes_by(module: Path) -> None:
    selection = _selection(module, {8: {_UNIT + "a"}})
    mutant = _mutant(module, "return 5")
    assert selection.for_mutant(mutant) == []
    assert not selection.works_at_import(mutant)


def test_a_header_is_tried_with_the_tests_of_the_function(module: Path) -> None:
    selection = _selection(module, {8: {_UNIT + "a"}, 12: {_UNIT + "b"}})
    mutant = _mutant(module, "def save(self, count=7):")
    assert selection.works_at_import(mutant)
    assert selection.for_mutant(mutant) == [_UNIT + "a"]


@pytest.mark.parametrize("before", ["LIMIT = 9", "size = 8"])
def test_what_runs_at_import_is_tried_with_all_tests_of_the_module(
    module: Path, before: str
) -> None:
    tests = {_UNIT + "a", _OTHER + "b"}
    selection = _selection(module, {8: {_UNIT + "a"}, 12: {_OTHER + "b"}})
    assert set(selection.for_mutant(_mutant(module, before))) == tests


def test_a_module_that_no_test_executes_is_tried_with_the_tests_of_its_package(
    module: Path,
) -> None:
    selection = _selection(module, {})
    selection.seconds |= {_UNIT + "a": 0.1, _OTHER + "b": 0.1}
    assert selection.for_mutant(_mutant(module, "LIMIT = 9")) == [_UNIT + "a"]


def test_evidence_changes_with_the_test_file_and_the_choice_of_tests() -> None:
    a, b = _UNIT + "a", _UNIT + "b"
    file = "tests/unit/package/test_store.py"
    evidence = Selection(hashes={file: "1"}).evidence([a])
    assert Selection(hashes={file: "1", "other": "2"}).evidence([a]) == evidence
    assert Selection(hashes={file: "1"}).evidence([a, b]) != evidence
    assert Selection(hashes={file: "2"}).evidence([a]) != evidence
