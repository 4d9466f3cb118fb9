"""A tiny project on disk, and its commands: as child processes and in this one."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from builders.runs import claim_seconds
from builders.training import TEXT
from transformer_playground.cli.main import main
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.index import INDEX_NAME

TP = Path(sys.executable).parent / "tp"
TP_TUI = Path(sys.executable).parent / "tp-tui"
# Far above what any command here takes.
PATIENCE_SECONDS = 120

CONFIG = """\
[experiment]
description = "bottles on a wall"

[model]
n_layer = 2
n_head = 2
n_embd = 16
block_size = 16

[train.data]
batch_size = 4

[train.schedule]
warmup_iters = 2

[train.runtime]
max_iters = 20
eval_interval = 5
eval_iters = 2
log_interval = 1
device = "cpu"
dtype = "float32"
threads = 1
tensorboard = false
auto_plot = false
auto_report = false

[sample.sample]
start = "1"
max_new_tokens = 40
"""

# What makes the run of `train_for_an_hour` go on, and write a plot and a report when it ends.
MORE_AND_EXTRAS = (
    "train.runtime.max_iters=8",
    "train.runtime.auto_plot=true",
    "train.runtime.auto_report=true",
)

# C0 but newline and tab, DEL, C1, and the controls that reorder text.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Project:
    """A folder with `experiments/` and, after training, `runs/`."""

    root: Path

    @property
    def experiment(self) -> Path:
        """The folder of the experiment `tiny`."""
        return self.root / "experiments" / "tiny"

    @property
    def raw(self) -> Path:
        """The one input text of `tiny`."""
        return self.experiment / "raw" / "input.txt"

    @property
    def runs(self) -> list[RunFolder]:
        """Every run, by name."""
        folder = self.root / "runs"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [RunFolder(folder / name) for name in names if not name.startswith(".")]

    def run_named(self, run_id: str) -> RunFolder:
        """The run of this id."""
        return RunFolder(self.root / "runs" / run_id)

    def files(self) -> dict[str, bytes]:
        """Every file but locks and the index of runs, which stay behind by design."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.suffix != ".lock" and path.name != INDEX_NAME
        }

    def child(self, *command: object, environ: Mapping[str, str] | None = None) -> Ended:
        """Run a command to its end as a child process, in the project's folder."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.root,
            env={**os.environ, **(environ or {})},
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def make_project(root: Path, config: str = CONFIG, text: str | bytes = TEXT) -> Project:
    """A project with the one experiment `tiny`, nothing prepared."""
    project = Project(root)
    project.raw.parent.mkdir(parents=True)
    (project.experiment / "config.toml").write_text(config, encoding="utf-8")
    project.raw.write_bytes(text.encode() if isinstance(text, str) else text)
    return project


def make_trained_project(root: Path, *run_ids: str) -> Project:
    """`make_project` with its data prepared and a run of four steps for each id."""
    project = make_project(root)
    with contextlib.chdir(project.root):
        for run_id in run_ids:
            words = ["loop", "tiny", "--run-id", run_id, "--set", "train.runtime.max_iters=4"]
            assert main(words) == 0
    return project


def in_process(project: Project, capsys: pytest.CaptureFixture[str], *words: object) -> Ended:
    """Run a `tp` command in this process, in the project's folder."""
    before = Path.cwd()
    os.chdir(project.root)
    try:
        capsys.readouterr()
        code = main([str(word) for word in words])
    finally:
        os.chdir(before)
    captured = capsys.readouterr()
    return Ended(code, captured.out, captured.err)


def train_for_an_hour(project: Project) -> RunFolder:
    """The run `first` of five steps, whose rows say that they took an hour."""
    with contextlib.chdir(project.root):
        assert main(["prepare", "tiny"]) == 0
        steps = ["--set", "train.runtime.max_iters=5"]
        assert main(["train", "tiny", "--run-id", "first", *steps]) == 0
    run = project.run_named("first")
    claim_seconds(run, 3_600.0)
    return run


class Tp(Protocol):
    """`tp` with these words, run in this process."""

    def __call__(self, *words: object) -> Ended: ...
