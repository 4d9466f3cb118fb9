"""The installed package works in an empty folder, with the experiments that it brings along."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINUTES = 4 * 60
SETTINGS = (
    "train.runtime.max_iters=6",
    "train.runtime.eval_iters=2",
    "train.schedule.warmup_iters=2",
    "sample.sample.max_new_tokens=20",
)
FEW_STEPS = [word for setting in SETTINGS for word in ("--set", setting)]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "TRANSFORMER_PLAYGROUND_CONFIG_DIR": str(cwd / "settings")}
    for variable in ("PYTHONPATH", "VIRTUAL_ENV"):
        environ.pop(variable, None)
    ended = subprocess.run(
        [str(word) for word in command],
        check=False,
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=MINUTES,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a new environment with the wheel; libraries are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel, cwd=folder)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


def test_the_main_job_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    module = run(
        installed / "python",
        *("-c", "import transformer_playground as t; print(t.__file__)"),
        cwd=tmp_path,
    ).stdout
    assert Path(module.strip()).is_relative_to(installed.parent)
    ended = run(
        installed / "tp-tui",
        *("--run", "shakespeare_char_fast", "--json", "--run-id", "first", *FEW_STEPS),
        cwd=tmp_path,
    )
    events = [json.loads(line)["event"] for line in ended.stdout.splitlines()]
    assert events[-2:] == ["summary", "sample"]
    assert "copied the bundled experiment shakespeare_char_fast" in ended.stderr
    assert (tmp_path / "experiments/shakespeare_char_fast/config.toml").is_file()
    again = run(installed / "tp", "prepare", "shakespeare_char_fast", cwd=tmp_path)
    assert "copied" not in again.stderr


def test_bundled_experiments_are_listed_and_copied(installed: Path, tmp_path: Path) -> None:
    rows = json.loads(run(installed / "tp", "experiments", "--json", cwd=tmp_path).stdout)
    shipped = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/config.toml"))
    assert [(row["experiment"], row["data"]) for row in rows] == [
        (name, "bundled") for name in shipped
    ]
    run(installed / "tp", "new", "mine", "--from", "phrases", cwd=tmp_path)
    copied = {path.name for path in (tmp_path / "experiments/mine").iterdir()}
    original = {
        path.name
        for path in (ROOT / "experiments/phrases").iterdir()
        if path.name not in {"datasets", "__pycache__"}
    }
    assert copied == original | {"raw"}
    run(installed / "tp", "prepare", "mine", cwd=tmp_path)
