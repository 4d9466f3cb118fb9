"""Each package and each folder of tests has a short README that names only what exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "transformer_playground"
TESTS = ROOT / "tests"
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py"))
TEST_FOLDERS = sorted({path.parent for path in TESTS.rglob("*.py")} - {TESTS})
FOLDERS = [*PACKAGES, *TEST_FOLDERS]
# `name.py`, `folder/` or `path/name.py`, also with a star.
QUOTED = re.compile(r"`([\w*./-]+(?:\.py|\.json|/))`")


def text_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def exists(name: str, folder: Path) -> bool:
    found = [
        *folder.rglob(name),
        *(path for place in (SOURCE, TESTS, ROOT) for path in place.glob(name)),
    ]
    return bool(found)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_says_what_it_is_for_and_names_only_what_exists(folder: Path) -> None:
    text = text_of(folder)
    assert text.startswith("# ")
    assert "\nRule: " in text
    assert 2 <= len([line for line in text.splitlines() if line.strip()]) <= 9
    assert [name for name in QUOTED.findall(text) if not exists(name, folder)] == []
    links = re.findall(r"\]\(([^)#]+)", text)
    assert [link for link in links if not (folder / link).exists()] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_package_names_its_modules(package: Path) -> None:
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    named = set(QUOTED.findall(text_of(package)))
    # Where there are many, the README names the ones to begin with.
    assert len(modules & named) >= min(3, len(modules))
