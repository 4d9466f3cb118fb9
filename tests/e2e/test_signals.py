"""Ctrl-C and SIGTERM: saved, said, and gone on with as if nothing had happened."""

import fcntl
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from builders.commands import PATIENCE_SECONDS, TP, Project, in_process, make_project
from builders.training import rows_of
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.status import derive_status

# Enough output to fill any pipe that nobody reads, so that training cannot end by itself.
STEPS = 400
LONG = [
    *("--set", f"train.runtime.max_iters={STEPS}", "--set", "train.runtime.eval_interval=200"),
    *("--set", "model.n_layer=1", "--set", "model.dropout=0.1"),
]
SMALLEST_PIPE = 4096


def start(project: Project, *words: str) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [str(TP), *words],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
    return child


def wait_for_first_step(child: "subprocess.Popen[str]") -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("step 1: loss"):
            return
    raise AssertionError(f"no step was logged: {child.communicate()[1]}")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, RunFolder]:
    """A project with a run that nobody interrupted."""
    project = make_project(tmp_path_factory.mktemp("signals") / "project")
    ended = project.child(TP, "loop", "tiny", "--run-id", "straight", *LONG)
    assert ended.code == 0, ended.err
    return project, project.run_named("straight")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_printed_command_goes_on_as_if_nothing_had_happened(
    straight: tuple[Project, RunFolder],
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    code: int,
) -> None:
    project, expected = straight
    run = project.run_named(number.name)
    child = start(project, "train", "tiny", "--run-id", run.run_id, *LONG)
    wait_for_first_step(child)
    child.send_signal(number)
    out, err = child.communicate(timeout=PATIENCE_SECONDS)
    assert child.returncode == code, err
    assert "Traceback" not in out + err
    assert number.name in err
    assert derive_status(run).state == "stopped"
    stopped_at = rows_of(run, "train")[-1]["step"]
    assert 0 < stopped_at < STEPS
    assert newest_valid(run.checkpoints).path.name == f"ckpt_last_{stopped_at:08d}.pt"

    command = shlex.split(err[err.index("tp train") :].splitlines()[0])
    ended = in_process(project, capsys, *command[1:])
    assert ended.code == 0, ended.err
    assert f"at step {stopped_at} of {STEPS}" in ended.out
    for event in ("train", "eval"):
        assert rows_of(run, event) == rows_of(expected, event)


def test_a_second_signal_ends_at_once_and_leaves_what_was_saved(
    straight: tuple[Project, RunFolder],
) -> None:
    project, _ = straight
    run = project.run_named("impatient")
    child = start(project, "train", "tiny", "--run-id", run.run_id, *LONG)
    wait_for_first_step(child)
    # The child is stuck in a full pipe before it could react to the first.
    wait_until_stuck(child, run.metrics_path)
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=PATIENCE_SECONDS)
    assert child.returncode == 143, err
    assert "Traceback" not in out + err
    assert newest_valid(run.checkpoints).path.is_file()


def wait_until_stuck(child: "subprocess.Popen[str]", growing: Path) -> None:
    size = -1
    while growing.stat().st_size != size:
        size = growing.stat().st_size
        time.sleep(0.3)
    assert child.poll() is None
