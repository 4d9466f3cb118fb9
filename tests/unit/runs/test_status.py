"""The state of a run, derived from its rows and its writer."""

import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from builders.runs import (
    append_rows,
    eval_row,
    make_run,
    resume_row,
    status_row,
    train_row,
    write_writer,
)
from transformer_playground.errors import RunError
from transformer_playground.runs.manage import rename_run
from transformer_playground.runs.status import (
    RunLock,
    derive_status,
    last_status_row,
    read_writer,
    unlock,
)


def test_a_writer_on_a_host_whose_clock_is_ahead_can_be_unlocked(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    write_writer(run, host="other-node", pid=1234, heartbeat=time.time() + 3 * 3600)
    with pytest.raises(RunError, match="by process 1234 on other-node") as refused, RunLock(run):
        pass
    assert f"tp runs unlock {run.run_id}" in refused.value.hint
    with pytest.raises(RunError, match="process 1234 on other-node, so it was not renamed"):
        rename_run(run, "other")
    removed = unlock(run)
    assert removed is not None
    assert (removed.pid, removed.host) == (1234, "other-node")
    assert derive_status(run).state == "interrupted"
    with RunLock(run):
        pass
    assert unlock(run) is None


def test_a_run_that_a_process_of_this_host_writes_stays_locked(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    write_writer(run)
    with pytest.raises(RunError, match=f"by process {os.getpid()}"):
        unlock(run)
    with RunLock(run):
        with pytest.raises(RunError, match=f"by process {os.getpid()}"):
            unlock(run)
        assert read_writer(run) is not None


@pytest.mark.parametrize("heartbeat", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_heartbeat_that_is_no_time_locks_nothing(tmp_path: Path, heartbeat: str) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    write_writer(run, host="other-node", heartbeat=0.25)
    text = run.writer_path.read_text()
    run.writer_path.write_text(text.replace("0.25", heartbeat))
    assert read_writer(run) is None
    assert derive_status(run).state == "interrupted"
    with RunLock(run):
        pass


def test_a_run_that_never_started_is_new(tmp_path: Path) -> None:
    assert derive_status(make_run(tmp_path)).state == "new"


def test_a_run_with_a_living_writer_is_running(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    with RunLock(run):
        status = derive_status(run)

    assert (status.state, status.writer and status.writer.pid) == ("running", os.getpid())


def test_a_run_is_running_from_the_moment_its_lock_is_held(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with RunLock(run):
        assert derive_status(run).state == "running"


@pytest.mark.parametrize("word", ["finished", "stopped", "failed"])
def test_the_last_status_row_is_the_state_of_a_run(tmp_path: Path, word: str) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running"), status_row(9, word)])

    assert derive_status(run).state == word
    with RunLock(run):  # the process that has just ended it still writes its summary
        assert derive_status(run).state == word


def test_a_failed_run_has_its_error(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(9, "failed", error="loss is nan")])

    assert derive_status(run).error == "loss is nan"


@pytest.mark.parametrize("word", ["running", "paused", "dreaming"])
def test_a_run_without_a_final_status_or_a_writer_was_interrupted(
    tmp_path: Path, word: str
) -> None:
    run = make_run(tmp_path, rows=[status_row(0, word), train_row(10)])

    assert derive_status(run).state == "interrupted"


def test_a_run_that_died_before_its_first_row_was_interrupted(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_writer(run, process_started=1.0)

    assert derive_status(run).state == "interrupted"


def test_a_resumed_run_is_running_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running"), status_row(9, "failed", error="x")])
    append_rows(run, [resume_row(5), status_row(5, "running")])
    with RunLock(run):
        assert derive_status(run).state == "running"
    assert derive_status(run).state == "interrupted"
    assert derive_status(run).error is None


def test_another_process_with_the_same_id_is_not_the_writer(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    write_writer(run, process_started=psutil.Process().create_time() - 100)

    assert derive_status(run).state == "interrupted"


def test_a_process_that_ended_is_not_the_writer(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    write_writer(run, pid=2**22 + 1)

    assert derive_status(run).state == "interrupted"


def test_a_zombie_process_is_not_the_writer(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    with subprocess.Popen(["sleep", "600"]) as process:
        started = psutil.Process(process.pid).create_time()
        write_writer(run, pid=process.pid, process_started=started)
        alive = derive_status(run)
        process.kill()
        deadline = time.monotonic() + 20
        while derive_status(run).state == "running" and time.monotonic() < deadline:
            time.sleep(0.01)
        dead = derive_status(run)

    assert (alive.state, alive.writer and alive.writer.pid) == ("running", process.pid)
    assert dead.state == "interrupted"


@pytest.mark.parametrize(("age", "state"), [(5, "running"), (59, "running"), (61, "interrupted")])
def test_a_writer_on_another_machine_is_alive_while_its_heartbeat_is_recent(
    tmp_path: Path, age: int, state: str
) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    write_writer(run, host="another.example", heartbeat=time.time() - age, pid=1)

    assert derive_status(run).state == state


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"pid": "x"}', b"\xff", b'{"pid": 1e999}', b"[" * 9999]
)
def test_an_unreadable_writer_record_is_not_a_writer(tmp_path: Path, content: bytes) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running")])
    run.writer_path.write_bytes(content)

    assert read_writer(run) is None
    assert derive_status(run).state == "interrupted"


def test_a_torn_final_status_does_not_count(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running"), status_row(9, "finished")])
    os.truncate(run.metrics_path, run.metrics_path.stat().st_size - 1)

    assert derive_status(run).state == "interrupted"


@pytest.mark.parametrize("padding", [0, 1, 100, 65_000, 65_536, 70_000, 200_000])
def test_the_last_status_is_found_however_far_back(tmp_path: Path, padding: int) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running"), status_row(5, "stopped")])
    append_rows(run, [train_row(6, message="x" * padding), eval_row(7, 1.0)])

    row = last_status_row(run.metrics_path)

    assert row is not None
    assert row["status"] == "stopped"


@pytest.mark.parametrize("length", range(65_400, 65_660, 13))
def test_a_status_row_across_a_block_border_is_found(tmp_path: Path, length: int) -> None:
    run = make_run(tmp_path, rows=[status_row(5, "stopped")])
    append_rows(run, [train_row(6, message="x" * length)])

    assert derive_status(run).state == "stopped"


def test_text_that_mentions_a_status_is_not_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "finished")])
    append_rows(run, [train_row(1, message='{"event": "status", "status": "failed"}', status="x")])

    assert derive_status(run).state == "finished"
