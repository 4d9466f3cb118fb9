"""One writer for each run."""

import json
import os
import time
from pathlib import Path

import pytest

from builders.runs import make_run
from transformer_playground.errors import RunError
from transformer_playground.runs import status
from transformer_playground.runs.status import RunLock, read_writer


def test_a_second_writer_is_rejected_with_the_pid_of_the_first(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with RunLock(run), pytest.raises(RunError, match=rf"process {os.getpid()}\b"), RunLock(run):
        pytest.fail("two writers")


def test_a_rejected_writer_does_not_change_the_record_of_the_first(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with RunLock(run):
        with pytest.raises(RunError), RunLock(run):
            pytest.fail("two writers")
        assert read_writer(run) is not None


def test_the_lock_is_released_after_the_block_in_any_case(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(ZeroDivisionError), RunLock(run):
        raise ZeroDivisionError
    with RunLock(run):
        assert read_writer(run) is not None
    assert read_writer(run) is None


def test_the_record_of_a_dead_writer_is_replaced(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    record = {"pid": 2**22 + 1, "host": "h", "process_started": 1.0, "heartbeat": 1.0}
    run.writer_path.write_text(json.dumps(record))

    with RunLock(run):
        writer = read_writer(run)
        assert writer is not None
        assert writer.pid == os.getpid()


def test_a_living_writer_on_another_machine_is_respected(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    record = {"pid": 7, "host": "another.example", "process_started": 1.0}
    run.writer_path.write_text(json.dumps(record | {"heartbeat": time.time()}))

    with pytest.raises(RunError, match=r"process 7 on another\.example"), RunLock(run):
        pytest.fail("two writers")
    run.writer_path.write_text(json.dumps(record | {"heartbeat": time.time() - 61}))
    with RunLock(run):
        assert read_writer(run) is not None


def test_the_heartbeat_continues_after_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "HEARTBEAT_SECONDS", 0.01)
    run = make_run(tmp_path)

    def newer_than(moment: float) -> bool:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            writer = read_writer(run)
            if writer is not None and writer.heartbeat > moment:
                return True
            time.sleep(0.01)
        return False

    with RunLock(run):
        assert newer_than(time.time())
        moved = run.root.rename(tmp_path / "away")
        time.sleep(0.05)
        moved.rename(run.root)
        assert newer_than(time.time())


def test_a_link_instead_of_the_lock_is_rejected(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.lock_path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(RunError, match="could not be locked"), RunLock(run):
        pytest.fail("followed a link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_removed_run_folder_gives_a_clear_error(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.root.rename(tmp_path / "gone")

    with pytest.raises(RunError, match="is gone"), RunLock(run):
        pytest.fail("locked nothing")
    assert not run.root.exists()
