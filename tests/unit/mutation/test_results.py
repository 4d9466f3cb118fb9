"""Results outlive an interruption, but not the source that they are about."""

from pathlib import Path

import pytest

from mutation.mutants import mutants_of
from mutation.results import Result, Results, report

_KILLED = Result("killed", "tests/test_a.py::test_a", "e1", 0.5, 3)
_SURVIVED = Result("survived", None, "e2", 1.5, 2)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text("A = 1\n", encoding="utf-8")
    return path


def _results(module: Path) -> Results:
    return Results(module.parent, module, "package/module.py")


def test_results_are_there_again_after_an_interruption(module: Path) -> None:
    results = _results(module)
    results.add("a", _KILLED)
    results.add("b", _KILLED)
    results.add("b", _SURVIVED)
    again = _results(module)
    assert (again.get("a"), again.get("b"), again.get("c")) == (_KILLED, _SURVIVED, None)


def test_a_line_that_was_cut_off_is_ignored_and_does_not_spoil_the_next(module: Path) -> None:
    _results(module).add("a", _KILLED)
    (path,) = module.parent.glob("*.jsonl")
    with path.open("a") as file:
        file.write('{"mutant": "b", "outc')
    _results(module).add("c", _SURVIVED)
    again = _results(module)
    assert (again.get("a"), again.get("b"), again.get("c")) == (_KILLED, None, _SURVIVED)


def test_a_change_of_the_module_drops_its_results(module: Path) -> None:
    _results(module).add("a", _KILLED)
    module.write_text("A = 2\n", encoding="utf-8")
    assert _results(module).get("a") is None


def test_the_report_names_survivors_and_counts_by_module(module: Path) -> None:
    up, down = mutants_of(module)
    text = report([(up, _KILLED), (down, _SURVIVED)], module.parent)
    assert "module.py:1 [NumberReplacer#1, 2 tests]\n    A = 1  ->  A = 0" in text
    assert "NumberReplacer#0" not in text
    assert text.splitlines()[-1].split() == ["total", "2", "1", "0", "1", "50.0%"]


def test_the_report_says_where_no_test_comes_by(module: Path) -> None:
    mutants = mutants_of(module)
    text = report([(mutants[0], Result("survived", None, "", 0.0, 0))], module.parent)
    assert "[NumberReplacer#0, no test executes it]" in text
