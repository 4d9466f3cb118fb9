"""Which changes are tried, and where they are."""

from pathlib import Path

from mutation.mutants import Mutant, mutants_of


def _mutants(folder: Path, source: str) -> list[Mutant]:
    module = folder / "module.py"
    module.write_text(source, encoding="utf-8")
    return mutants_of(module)


def _changed_lines(folder: Path, source: str) -> set[str]:
    return {mutant.after for mutant in _mutants(folder, source)}


def test_a_comparison_is_moved_by_one_and_turned_round(tmp_path: Path) -> None:
    assert _changed_lines(tmp_path, "def f(a, b):\n    return a < b\n") == {
        "return a <= b",
        "return a >= b",
    }


def test_numbers_operators_and_keywords_are_changed(tmp_path: Path) -> None:
    source = "def f(a):\n    while True:\n        a = a + 2\n        continue\n"
    # One of the two conditions is `not True`, which is the same as none of the others.
    assert _changed_lines(tmp_path, source) == {
        "while False:",
        "while not True:",
        "a = a - 2",
        "a = a + 3",
        "a = a + 1",
        "break",
    }


def test_an_exception_with_a_dotted_name_is_changed(tmp_path: Path) -> None:
    source = (
        "import errno, json\n"
        "try:\n    pass\n"
        "except (json.JSONDecodeError, OSError) as error:\n    pass\n"
        "except errno.error:\n    pass\n"
    )
    assert _changed_lines(tmp_path, source) == {
        "except (CosmicRayTestingException, OSError) as error:",
        "except (json.JSONDecodeError, CosmicRayTestingException) as error:",
        "except CosmicRayTestingException:",
    }


def test_types_and_docstrings_are_left_alone(tmp_path: Path) -> None:
    source = (
        '"""Adds 1 + 1."""\n'
        "from typing import TYPE_CHECKING, cast\n"
        "if TYPE_CHECKING:\n    from a import b1\n    c = 1\n"
        "x: int | None = None\n"
        "def f(a: int | str, *, b: 'int | None' = None) -> int | None:\n"
        "    return cast(int | None, a)\n"
    )
    assert _changed_lines(tmp_path, source) == set()


def test_a_condition_is_negated_once(tmp_path: Path) -> None:
    source = "def f(a, b):\n    if not a or a in b:\n        return 0 if a == b else b\n"
    after = [mutant.after for mutant in _mutants(tmp_path, source)]
    assert after.count("if a or a in b:") == 1
    assert not any("not not" in line or "not a == b" in line for line in after)


def test_what_python_warns_of_is_no_mutant(tmp_path: Path) -> None:
    assert _changed_lines(tmp_path, "def f(a):\n    return a is None and 0\n") == {
        "return a is not None and 0",
        "return a is None or 0",
        "return a is None and 1",
        "return a is None and -1",
    }


def test_a_change_knows_the_outermost_function_around_it(tmp_path: Path) -> None:
    source = (
        "LIMIT = 3\n"
        "class A:\n"
        "    @property\n"
        "    def f(self, size=4):\n"
        "        def inner():\n"
        "            return 5\n"
        "        return inner\n"
    )
    places = {
        mutant.before: (
            mutant.unit and (mutant.unit.qualname, mutant.unit.first_line),
            mutant.header_of and mutant.header_of.qualname,
        )
        for mutant in _mutants(tmp_path, source)
    }
    assert places == {
        "LIMIT = 3": (None, None),
        "@property": (None, "A.f"),
        "def f(self, size=4):": (None, "A.f"),
        "return 5": (("A.f", 3), None),
    }


def test_a_change_knows_the_lines_of_its_statement(tmp_path: Path) -> None:
    source = (
        "def f(a):\n"
        "    if (a and\n"
        "            a > 1):\n"
        "        return [\n"
        "            'ä', 2,\n"
        "        ]\n"
    )
    lines = {mutant.line: mutant.lines for mutant in _mutants(tmp_path, source)}
    assert lines == {2: range(2, 4), 3: range(2, 4), 5: range(4, 7)}


def test_a_mutant_differs_from_the_module_in_one_line(tmp_path: Path) -> None:
    source = "# ä\nA = 1\n\n\nclass B:\n    c = 2\n\n\nd = 3\n"
    for mutant in _mutants(tmp_path, source):
        before, after = source.splitlines(), mutant.source.splitlines()
        differing = [
            n for n, pair in enumerate(zip(before, after, strict=True), 1) if len(set(pair)) > 1
        ]
        assert differing == [mutant.line]
        assert mutant.before == before[mutant.line - 1].strip()
