"""Targets of the Makefile: which commands they run with which variables, without running them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEM_PATH = "/usr/bin:/bin"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


# A surrounding make hands its own variables down.
HANDED_DOWN = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "EXP", "CONFIG", "LOGDIR", "PORT", "WORKERS"}
ENVIRON = {key: value for key, value in os.environ.items() if key not in HANDED_DOWN}


def make(
    *words: str, is_installed: bool = True, path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *(["--assume-old=.venv/.synced"] if is_installed else []), *words],
        cwd=ROOT,
        env={**ENVIRON, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def commands(*words: str) -> list[str]:
    """What `make` would run."""
    shown = make("--dry-run", *words)
    assert shown.returncode == 0, shown.stderr
    return [
        line for line in shown.stdout.splitlines() if not line.startswith(("test -n", "test -z"))
    ]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("run", "tp-tui --run shakespeare"),
        ("run EXP=phrases", 'tp-tui --run "phrases"'),
        ("run EXP=phrases CONFIG=my.toml", 'tp loop "phrases" --config "my.toml"'),
        ("run CONFIG=my.toml", 'tp loop --config "my.toml"'),
        ("prepare EXP=phrases", 'tp prepare "phrases"'),
        ("train CONFIG=my.toml", 'tp train --config "my.toml"'),
        ("loop EXP=phrases CONFIG=my.toml", 'tp loop "phrases" --config "my.toml"'),
        ("sample EXP=phrases", 'tp sample "phrases"'),
        ("tui", "tp-tui"),
        ("tensorboard", "tp tensorboard --port 6006"),
        ("tensorboard PORT=7007 LOGDIR=old", 'tp tensorboard --port 7007 --runs-dir "old"'),
        ("test", "pytest -n 2 --dist worksteal"),
        ("test WORKERS=4", "pytest -n 4 --dist worksteal"),
        ("e2e WORKERS=1", "pytest -n 1 --dist worksteal tests/e2e"),
    ],
)
def test_a_target_passes_its_variables_on(words: str, command: str) -> None:
    assert [" ".join(line.split()) for line in commands(*words.split())] == [f".venv/bin/{command}"]


def test_a_path_with_blanks_stays_one_word() -> None:
    assert commands("train", "CONFIG=my file.toml")[0].endswith('--config "my file.toml"')


@pytest.mark.parametrize("target", ["prepare", "train", "loop", "sample"])
def test_a_target_that_needs_an_experiment_says_so(target: str) -> None:
    ended = make(target)
    assert ended.returncode == 2
    assert ended.stdout.startswith(f"Name an experiment: make {target} EXP=shakespeare")


def test_samples_take_no_configuration_file() -> None:
    ended = make("sample", "EXP=shakespeare", "CONFIG=my.toml")
    assert ended.returncode == 2
    assert "a run keeps its own settings" in ended.stdout


def test_setup_ends_with_the_next_command() -> None:
    ended = make("setup")
    assert ended.returncode == 0
    assert "Next: make run" in ended.stdout
    assert "source .venv/bin/activate" in ended.stdout


def test_quality_runs_every_check() -> None:
    for target in ("quality", "verify"):
        tools = [Path(line.split()[0]).name for line in commands(target)]
        assert tools == ["ruff", "ruff", "mypy", "pyright", "lint-imports", "pytest"]


def test_every_target_is_in_the_help() -> None:
    help_lines = make("help").stdout.splitlines()
    listed = {word for line in help_lines for word in line.split("  ")[0].split()}
    phony = (ROOT / "Makefile").read_text().split(".PHONY:")[1].split("\n\n")[0]
    assert listed == set(phony.replace("\\\n", " ").split())


@pytest.mark.skipif(shutil.which("uv", path=SYSTEM_PATH) is not None, reason="uv is installed")
def test_a_uv_that_is_not_on_the_path_is_installed_first() -> None:
    words = ("--dry-run", "--always-make", "setup")
    shown = make(*words, is_installed=False, path=SYSTEM_PATH).stdout
    assert ".tools/uv/bin/pip install --quiet uv" in shown
    assert ".tools/uv/bin/uv sync" in shown
