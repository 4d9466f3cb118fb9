"""A run of two processes of which one is killed: interrupted, nobody left, and it can go on."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from builders.commands import in_process, make_project
from builders.training import rows_of
from transformer_playground.errors import TrainingError
from transformer_playground.runs.status import derive_status
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import Event, RunStarted
from transformer_playground.training.launch import Launch
from transformer_playground.training.processes import RankCommand
from transformer_playground.tui.core.child_run import ChildRun


def ranks_of(parent: psutil.Process) -> dict[int, psutil.Process]:
    children = parent.children(recursive=True)
    found = [each for each in children if "transformer_playground.cli.rank" in each.cmdline()]
    return {int(each.environ()["RANK"]): each for each in found}


def test_a_killed_process_interrupts_the_run_and_one_process_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    assert in_process(project, capsys, "prepare", "tiny").code == 0
    settings = ("train.distributed.processes=2", "train.runtime.max_iters=1000000")
    launch = Launch("tiny", settings, run_id="run", prepare="never")
    command = RankCommand(launch, Path("experiments"), Path("runs"), json_output=True)
    events: list[Event] = []
    seen: dict[int, psutil.Process] = {}

    def kill_the_second(event: Event) -> None:
        events.append(event)
        if event.step >= 2 and not seen:
            seen.update(ranks_of(psutil.Process()))
            os.kill(seen[1].pid, signal.SIGKILL)

    with pytest.raises(
        TrainingError, match=r"rank 1 \(process \d+\) was killed by SIGKILL"
    ) as lost:
        ChildRun(command, TrainingControl(), kill_the_second).train()
    assert "tp train --resume run" in str(lost.value)
    assert any(isinstance(event, RunStarted) for event in events)
    assert len(seen) == 2
    assert not any(each.is_running() for each in seen.values())
    run = project.run_named("run")
    assert derive_status(run).state == "interrupted"

    step = rows_of(run, "checkpoint")[-1]["step"]
    to_the_end = ("--set", f"train.runtime.max_iters={step + 2}", "--processes", "1")
    assert in_process(project, capsys, "train", "--resume", "run", *to_the_end).code == 0
    assert derive_status(run).state == "finished"
