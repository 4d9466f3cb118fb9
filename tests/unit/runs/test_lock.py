"""One writer for each run."""

import json
import os
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from builders.runs import make_run, run_info
from transformer_playground.errors import RunError, UsageError
from transformer_playground.runs import status
from transformer_playground.runs.details import describe_run
from transformer_playground.runs.folder import reports_folder
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.runs.status import RunLock, read_writer
from transformer_playground.training.sinks.text import LogFileSink


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


def test_a_living_process_keeps_its_run_without_the_lock_file(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    other = psutil.Process(os.getppid())
    record: dict[str, Any] = {"pid": other.pid, "host": platform.node(), "heartbeat": 0.0}
    record["process_started"] = other.create_time()
    run.writer_path.write_text(json.dumps(record))
    run.lock_path.unlink(missing_ok=True)
    with pytest.raises(RunError, match=f"process {other.pid}"), RunLock(run):
        pytest.fail("locked")
    run.writer_path.write_text(json.dumps(record | {"process_started": 1.0}))
    with RunLock(run):
        pass


def test_temporary_files_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    outside = tmp_path / "outside"
    outside.write_text("kept")
    leftovers = [
        *(run.root / ".writer.json.1a2b.tmp", run.tokenizer / ".t.json.x.tmp"),
        *(run.root / ".notes.json.x.tmp", run.reports / ".report.json.x.tmp"),
    ]
    for path in leftovers:
        path.write_text("x")
    link = run.logs / ".x.tmp"
    link.symlink_to(outside)
    with RunLock(run):
        # Another process may be writing these at the moment.
        assert [path.exists() for path in leftovers] == [False, False, True, True]
    assert not link.is_symlink()
    for path in leftovers[2:]:
        os.utime(path, (1.0, 1.0))
    with RunLock(run):
        assert not any(path.exists() for path in leftovers)
    assert outside.read_text() == "kept"


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "logs", "logs/train.log"])
def test_links_are_not_followed_for_writing(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "runs")
    outside = tmp_path / "outside"
    outside.mkdir()
    path = run.root / name
    if path.is_dir():
        shutil.rmtree(path)
    path.symlink_to(outside if name == "logs" else outside / "file")
    opens = LogFileSink if name.startswith("logs") else JsonlWriter
    with pytest.raises(RunError, match="links are not followed"):
        opens(run.log_path if name.startswith("logs") else path)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["checkpoints", "adapters", "tokenizer", "reports", "logs", "logs/tb"]
)
def test_a_run_with_a_link_in_place_of_a_folder_is_not_trained(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "runs")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".old.tmp").write_text("kept")
    folder = run.root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.symlink_to(outside)
    with pytest.raises(RunError, match=f"{name} is a link, and links are not followed"):
        RunLock(run).__enter__()
    assert [path.name for path in outside.iterdir()] == [".old.tmp"]
    folder.unlink()
    with RunLock(run):
        pass


def test_a_taken_id_says_how_to_begin_again(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(UsageError) as taken:
        make_run(tmp_path)
    assert "tp runs delete tiny-1" in str(taken.value.hint)
    (run.checkpoints / "ckpt_last_00000000.json").write_text("{}")
    with pytest.raises(UsageError) as taken:
        make_run(tmp_path)
    assert "--resume" in str(taken.value.hint)


def test_a_link_in_place_of_the_reports_is_neither_written_nor_read(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    (run.reports / "link").symlink_to(outside / "secret")
    assert describe_run(run, run_info(run.run_id)).reports == ()
    shutil.rmtree(run.reports)
    run.reports.symlink_to(outside)
    assert describe_run(run, run_info(run.run_id)).reports == ()
    with pytest.raises(RunError, match="is a link"):
        reports_folder(run)
