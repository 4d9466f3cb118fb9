"""What the Machine view says of cores, GPUs, processes and the parts of a step."""

import os
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from builders.nvidia import GIB, install_library
from builders.runs import eval_row, make_run, train_row, write_writer
from transformer_playground.formatting import UNKNOWN
from transformer_playground.runs.series import RunSeries
from transformer_playground.tui.machine.machine_state import (
    HISTORY,
    Line,
    MachineState,
    split_lines,
)
from transformer_playground.tui.machine.service import (
    MOST_PROCESSES,
    BusyProcess,
    MachineReader,
    Reading,
)
from transformer_playground.tui.machine.step_split import StepSplit, split_of


def texts(lines: Iterator[Line]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def split(folder: Path, rows: list[dict[str, Any]]) -> StepSplit | None:
    run = make_run(folder, f"run-{len(list(folder.iterdir()))}", rows)
    series = RunSeries(run.metrics_path)
    series.poll()
    return split_of(series)


def test_the_parts_of_a_step_are_medians_of_the_newest_rows(tmp_path: Path) -> None:
    parts = {"forward_ms": 30.0, "backward_ms": 50.0, "optimizer_ms": 10.0}
    rows = [train_row(1, step_time_ms=9e9, data_share=1.0)]
    rows += [train_row(step, step_time_ms=100.0, data_share=0.05, **parts) for step in range(2, 80)]
    rows += [eval_row(step, 2.0, seconds=2.0) for step in (0, 20, 40)]
    found = split(tmp_path, rows)
    assert found is not None
    assert found == StepSplit(
        100.0,
        {"data": 5.0, "forward": 30.0, "backward": 50.0, "optimizer": 10.0, "other": 5.0},
        2.0,
        20,
    )
    assert found.evaluation_share == 0.5
    shown = texts(split_lines(found, 50))
    # A full bar is the whole step.
    assert [shown[2].count(glyph) for glyph in "█░"] == [10, 10]
    assert shown[2].endswith("50.0 ms · 50%")
    assert shown[-1] == "evaluation  2s every 20 steps (50%)"
    assert max(map(len, shown)) <= 50


@pytest.mark.parametrize(
    ("steps", "expected"), [((0, 30, 55), 30), ((0, 30, 33, 60, 90, 115), 30), ((0,), None)]
)
def test_evaluations_at_the_end_and_on_request_do_not_change_how_often_a_run_evaluates(
    tmp_path: Path, steps: tuple[int, ...], expected: int | None
) -> None:
    rows = [train_row(1), *(eval_row(step, 2.0, seconds=2.0) for step in steps)]
    found = split(tmp_path, rows)
    assert found is not None
    assert found.interval == expected


def test_rows_of_an_accelerator_tell_only_the_time_of_the_batches(tmp_path: Path) -> None:
    parts = {"forward_ms": None, "backward_ms": None, "optimizer_ms": None}
    found = split(tmp_path, [train_row(1, step_time_ms=10.0, data_share=0.5, **parts)])
    assert found is not None
    assert found == StepSplit(10.0, {"data": 5.0})
    assert found.evaluation_share is None
    assert "unknown on an accelerator" in " ".join(texts(split_lines(found, 40)))
    assert split(tmp_path, []) is None
    assert texts(split_lines(None, 40)) == ["no logged step yet"]


def test_meters_have_a_bar_figures_and_their_recent_shares() -> None:
    state = MachineState()
    for share in (0.0, 0.5, 1.0):
        state.add(Reading(cores=(share, 0.25), load=1.5, memory=4 * GIB, total=16 * GIB, free=GIB))
    lines = texts(state.lines(100, str))
    assert lines[0].startswith("cpu 0   ████")
    assert "░" not in lines[0]
    assert "100%" in lines[0]
    assert lines[0].endswith("▁▅█")
    assert lines[1].count("░") // lines[1].count("█") == 2
    assert lines[1].count("░") + lines[1].count("█") == lines[0].count("█") - 1
    assert "4.0 GiB / 16.0 GiB" in lines[2]
    assert lines[3].startswith("gpu     none")
    assert lines[4] == "disk    1.0 GiB free"
    for _ in range(2 * HISTORY):
        state.add(Reading(cores=(0.1,)))
    assert len(state._recent["cpu 0"]) == HISTORY
    for width in (1, 20, 60, 300):
        assert list(state.lines(width, str))


def test_many_cores_share_one_meter() -> None:
    state = MachineState()
    state.add(Reading(cores=(None,) * 64))
    assert texts(state.lines(100, str))[0] == f"cpu     {UNKNOWN} of 64 cores"
    assert not state._recent
    state.add(Reading(cores=(0.5,) * 64))
    assert "32.0 of 64 cores" in texts(state.lines(100, str))[0]


def test_cores_are_measured_between_readings_whichever_threads_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # User, idle and guest seconds of two cores; those of a guest are in `user` too.
    readings = [[(1.0, 9.0, 0.5), (0.0, 0.0, 0.0)], [(2.0, 12.0, 1.0), (1.0, 0.0, 0.0)]]
    readings += [[(5.0, 13.0, 1.0), (1.0, 0.0, 0.0)], [(5.0, 13.0, 1.0)]]
    fields = namedtuple("fields", ["user", "idle", "guest"])
    taken = iter([[fields(*core) for core in each] for each in readings])
    monkeypatch.setattr("psutil.cpu_times", lambda **_: next(taken))
    reader, state = MachineReader(tmp_path), MachineState()
    found = []
    for _ in readings:
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(reader.read, (), None).result())
    assert [each.cores for each in found] == [(None, None), (0.25, 1.0), (0.75, None), (None,)]
    for reading in found[:3]:
        state.add(reading)
    assert [[*state._recent[f"cpu {core}"]] for core in (0, 1)] == [[0.25, 0.75], [1.0]]
    assert texts(state.lines(100, str))[1] == f"cpu 1   {UNKNOWN}"


def test_processes_say_who_they_are_and_which_run_they_train() -> None:
    state = MachineState()
    state.add(
        Reading(
            processes=(
                BusyProcess(7, "python", 1.5, 3 * GIB, 2 * GIB, run_id="a"),
                BusyProcess(8, "tp-tui", 0.25, None, run_id="b", is_own=True),
                BusyProcess(9, "gcc", 0.1, GIB),
            )
        )
    )
    head, *lines = texts(state.lines(100, lambda run_id: f"run {run_id}"))[-4:]
    assert head.split() == ["process", "cores", "memory", "on", "GPU", "what"]
    assert lines[0].split()[:2] == ["7", "1.50"]
    assert lines[0].endswith("2.0 GiB  trains run a: python")
    assert lines[1].endswith("this console, trains run b")
    assert lines[2].endswith("gcc")


class StandIn(SimpleNamespace):
    """A busy process of the system; `line` is its command line."""

    def cmdline(self) -> list[str]:
        line: list[str] | None = self.line
        if line is None:
            raise psutil.AccessDenied(self.pid)
        return line


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (["/opt/env/bin/python3.12", "/opt/env/bin/tp", "train", "a b"], "tp train a b"),
        (["/usr/bin/python3", "-m", "pytest"], "python3 -m pytest"),
        (["/usr/bin/cc1\x1b[2J", "-O2"], "cc1␛[2J -O2"),
        (["python"], "python"),
        ([], "kernel"),
        (None, "kernel"),
    ],
)
def test_a_busy_process_is_called_by_its_command(
    line: list[str] | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"name": "kernel", "cpu_percent": 150.0, "memory_info": None}
    process = StandIn(pid=-1, info=info, line=line)
    monkeypatch.setattr(psutil, "process_iter", lambda _: [process])
    (found,) = MachineReader(tmp_path).read((), None).processes
    assert (found.name, found.cores) == (name, 1.5)


def test_processes_of_this_console_and_of_runs_stay_among_many_busier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def process(pid: int, percent: float) -> StandIn:
        info = {"name": "gcc", "cpu_percent": percent, "memory_info": None}
        return StandIn(pid=pid, info=info, line=["gcc"])

    busy = [process(-number, 100.0 + number) for number in range(1, 2 * MOST_PROCESSES)]
    found = [process(os.getpid(), 0.0), *busy]
    monkeypatch.setattr(psutil, "process_iter", lambda _: found)
    listed = MachineReader(tmp_path).read((), None).processes
    assert len(listed) == MOST_PROCESSES
    assert listed[0].cores == pytest.approx(busy[-1].info["cpu_percent"] / 100)
    assert [each.is_own for each in listed].index(True) == MOST_PROCESSES - 1


def test_gpus_and_the_processes_on_them_have_meters_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_library(monkeypatch)
    reading = MachineReader(tmp_path).read((), None)
    state = MachineState()
    state.add(Reading(gpus=reading.gpus))
    lines = texts(state.lines(100, str))
    assert "75% · 61 °C" in lines[0]
    assert "2.0 GiB / 8.0 GiB" in lines[1]
    assert [each.gpu_memory for each in reading.processes if each.is_own] == [GIB]


def test_a_reading_names_the_run_of_a_process_and_splits_its_step(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "ours", [train_row(1, step_time_ms=10.0)])
    write_writer(run)
    reader = MachineReader(tmp_path / "runs")
    reading = reader.read(("ours", "gone"), "ours")
    (own,) = [each for each in reading.processes if each.is_own]
    assert (own.pid, own.run_id) == (os.getpid(), "ours")
    assert reading.split is not None
    assert reading.split.step == 10.0
    assert len(reading.cores) >= 1
    assert 0 < reading.memory < reading.total
    assert reading.free is not None
    assert reader.read((), "gone").split is None
    assert MachineReader(tmp_path / "missing" / "runs").read((), None).free is not None
