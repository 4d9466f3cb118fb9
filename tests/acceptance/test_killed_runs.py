"""A run whose process was killed, at any moment, ends as if nothing had happened."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders.commands import CONFIG, PATIENCE_SECONDS, Project, in_process, make_project
from builders.training import equal, final_payload, rows_of
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.metrics import read_raw_rows
from transformer_playground.runs.status import derive_status

# Two evaluations after the first, and the steps before and after them.
STEPS = 12
SEED = 20
_LOOK_SECONDS = 0.002
# Everything that has a state, and a save at every step, so that many kills hit one.
EVERYTHING = """\
[train.checkpointing]
interval = 1

[train.optim]
optimizer = "{optimizer}"
"""


class Forge:
    """Starts training processes and kills them."""

    def __init__(self, project: Project) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forked_training.py"))],
            cwd=project.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train_until(self, run: RunFolder, is_reached: Callable[[Row], bool], more: float) -> None:
        """Start a run; kill it `more` steps' time after its metrics have the row we wait for."""
        pid = self._ask("train", "tiny", "--run-id", run.run_id)
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not any(map(is_reached, rows := read_raw_rows(run.metrics_path))):
                assert time.monotonic() < deadline, f"{run.run_id} does not get there"
                # The child may need this core.
                time.sleep(_LOOK_SECONDS)
            time.sleep(more * (rows[-1]["time"] - rows[0]["time"]) / max(1, rows[-1]["step"]))
        finally:
            os.kill(pid, signal.SIGKILL)
            status = self._answer()
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL

    def _ask(self, *words: str) -> int:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(words) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())

    def close(self) -> None:
        self._server.communicate(timeout=PATIENCE_SECONDS)


@contextlib.contextmanager
def forge(project: Project) -> Iterator[Forge]:
    opened = Forge(project)
    try:
        yield opened
    finally:
        opened.close()


def has_saved(step: int) -> Callable[[Row], bool]:
    return lambda row: row["event"] == "checkpoint" and row["step"] >= step


def is_finished(row: Row) -> bool:
    return row.get("status") == "finished"


@pytest.mark.parametrize(("optimizer", "parity"), [("adamw", 0), ("muon", 1)])
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], optimizer: str, parity: int
) -> None:
    config = CONFIG.replace("n_layer = 2", "n_layer = 1\ndropout = 0.1")
    config = config.replace("batch_size = 4", "batch_size = 4\ngrad_accum_steps = 2")
    config = config.replace("threads = 1", "threads = 1\nema_decay = 0.9")
    config = config.replace("max_iters = 20", f"max_iters = {STEPS}")
    project = make_project(tmp_path / "project", config + EVERYTHING.format(optimizer=optimizer))
    assert in_process(project, capsys, "prepare", "tiny").code == 0
    chance = random.Random(f"{SEED} {optimizer}")
    straight = project.run_named("straight")
    interrupted = 0
    with forge(project) as trainers:
        trainers.train_until(straight, is_finished, 0)
        expected = final_payload(straight)
        for step in range(parity, STEPS, 2):
            run = project.run_named(f"killed-{step}")
            trainers.train_until(run, has_saved(step), chance.uniform(0, 2))
            interrupted += derive_status(run).state == "interrupted"
            ended = in_process(project, capsys, "train", "tiny", "--run-id", run.run_id)
            assert ended.code == 0, ended.err
            assert equal(final_payload(run), expected), f"killed after {step}"
            for event in ("train", "eval"):
                assert rows_of(run, event) == rows_of(straight, event), f"killed after {step}"
            assert not list(run.checkpoints.glob("*.tmp"))
    assert interrupted, "no kill came before the end"
