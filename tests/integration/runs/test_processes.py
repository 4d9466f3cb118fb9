"""Runs shared between real processes, some of which are killed."""

import multiprocessing
import random
import time
from pathlib import Path

import pytest

from builders.runs import (
    append_for_ever,
    hold_lock,
    make_run,
    train_row,
    try_to_create,
)
from transformer_playground.errors import RunError
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.metrics import MetricsReader, read_raw_rows
from transformer_playground.runs.status import RunLock, derive_status

_FORKS = multiprocessing.get_context("forkserver")


def test_a_killed_writer_frees_the_run_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    receiving, sending = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=hold_lock, args=(run, sending))
    process.start()
    receiving.recv()

    with pytest.raises(RunError, match=rf"process {process.pid}\b"), RunLock(run):
        pytest.fail("two writers")
    status = derive_status(run)
    assert (status.state, status.writer and status.writer.pid) == ("running", process.pid)

    process.kill()
    deadline = time.monotonic() + 20
    # Before it is reaped the process still has its id: that must not make it look alive.
    while derive_status(run).state == "running" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert derive_status(run).state == "interrupted"
    process.join()
    with RunLock(run):
        assert run.writer_path.exists()


def test_of_many_creators_of_one_id_exactly_one_succeeds(tmp_path: Path) -> None:
    for attempt in range(3):
        run_id = f"run-{attempt}"
        begin = _FORKS.Barrier(4)
        pipes = [_FORKS.Pipe(duplex=False) for _ in range(4)]
        processes = [
            _FORKS.Process(target=try_to_create, args=(tmp_path, run_id, begin, sending))
            for _, sending in pipes
        ]
        for process in processes:
            process.start()
        answers = sorted(receiving.recv() for receiving, _ in pipes)
        for process in processes:
            process.join()

        assert answers[0] == ""
        assert all(answer.startswith("UsageError: There is already") for answer in answers[1:])
    assert len(list(tmp_path.iterdir())) == 3
    assert {row.state for row in list_runs(tmp_path)} == {"new"}


def test_rows_survive_killed_writers_while_a_reader_follows(tmp_path: Path) -> None:
    chance = random.Random(2)
    path = tmp_path / "metrics.jsonl"
    reader, followed, total = MetricsReader(path), [], 0
    for _ in range(10):
        receiving, sending = _FORKS.Pipe(duplex=False)
        process = _FORKS.Process(target=append_for_ever, args=(path, sending))
        process.start()
        sending.close()
        reported = 0
        for _ in range(chance.randint(1, 30)):
            receiving.recv()
            reported += 1
            followed += reader.poll().rows
        process.kill()
        process.join()
        receiving.close()
        rows = read_raw_rows(path)
        assert len(rows) >= total + reported
        assert [row["step"] for row in rows[total:]] == list(range(len(rows) - total))
        total = len(rows)
    with JsonlWriter(path) as metrics:
        metrics.append(train_row(0))
    followed += reader.poll().rows

    assert followed == read_raw_rows(path)
