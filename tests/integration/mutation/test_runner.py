"""A small project with one gap in its tests, from the first run to the next one."""

import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).resolve().parents[2]
_RUN = """
import sys
from pathlib import Path
from mutation.runner import BrokenTestsError, Runner
root = Path.cwd()
package = root / "src" / "example"
runner = Runner(
    root=root, package=package, modules=sorted(package.rglob("*.py")),
    tests=[root / "tests"], cache=root / "cache", workers=2, patience=1.0,
)
try:
    pairs = runner.run()
except BrokenTestsError as error:
    sys.exit(str(error))
for mutant, result in pairs:
    print("RESULT", result.outcome, mutant.before, "->", mutant.after)
"""
_MODULE = """
LIMIT = 10
NAMES = ["a"]

def is_allowed(size: int) -> bool:
    return size < LIMIT

def count_down(size: int) -> int:
    while size > 0:
        size = size - 1
    return size

def names() -> list[str]:
    return NAMES[:1]
"""
_TEST = """
from example.sizes.limits import count_down, is_allowed, names

def test_small_sizes_are_allowed():
    assert is_allowed(9)
    assert not is_allowed(11)

def test_counting_ends_at_zero():
    assert count_down(3) == 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "src/example/sizes/limits.py": _MODULE,
        "src/example/__init__.py": "",
        "src/example/sizes/__init__.py": "",
        "tests/unit/sizes/test_limits.py": _TEST,
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["src"]\n'
        'addopts = ["--import-mode=importlib"]\nfilterwarnings = ["error"]\n',
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def _run(project: Path) -> tuple[dict[str, str], str]:
    """Outcome of each change, and all that was shown."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", _RUN],
        cwd=project,
        env={"PYTHONPATH": f"{_TESTS}:{project / 'src'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    lines = [line.split(" ", 2)[1:] for line in results]
    return {change: outcome for outcome, change in lines}, done.stdout + done.stderr


def _tried(shown: str) -> int:
    return sum(shown.count(f" {outcome}\n") for outcome in ("killed", "timeout", "survived"))


def test_what_no_test_notices_survives_until_a_test_notices_it(project: Path) -> None:
    outcomes, shown = _run(project)
    survivors = {change for change, outcome in outcomes.items() if outcome == "survived"}
    assert survivors == {
        "return size < LIMIT -> return size <= LIMIT",
        "LIMIT = 10 -> LIMIT = 11",
        "return NAMES[:1] -> return NAMES[: 2]",
        "return NAMES[:1] -> return NAMES[: 0]",
    }, shown
    assert outcomes["size = size - 1 -> size = size + 1"] == "timeout"
    assert outcomes["LIMIT = 10 -> LIMIT = 9"] == "killed"
    assert (project / "src/example/sizes/limits.py").read_text("utf-8") == _MODULE

    # Nothing has changed, so nothing is tried again.
    again, shown = _run(project)
    assert again == outcomes
    assert _tried(shown) == 0

    # Other tests may kill what survived; what was killed stays so while its test does.
    test = project / "tests/unit/sizes/test_limits.py"
    test.write_text(_TEST + "\ndef test_names():\n    assert names() == ['a']\n", encoding="utf-8")
    better, shown = _run(project)
    assert better["return NAMES[:1] -> return NAMES[: 0]"] == "killed"


def test_tests_that_fail_without_a_mutant_prove_nothing(project: Path) -> None:
    test = project / "tests/unit/sizes/test_limits.py"
    test.write_text(_TEST + "\ndef test_names():\n    assert names() == ['b']\n", encoding="utf-8")
    outcomes, shown = _run(project)
    assert outcomes == {}
    assert "since tests/unit/sizes/test_limits.py::test_names fails without any mutant" in shown
    assert "No test file passes" in shown
