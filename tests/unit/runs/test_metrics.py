"""Rows of metrics.jsonl: written completely, and read in spite of damage."""

import dataclasses
import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.metrics import read_rows
from builders.runs import eval_row, resume_row, status_row, train_row
from transformer_playground.errors import RunError
from transformer_playground.runs.jsonl import JsonlWriter, encode_row, parse_lines
from transformer_playground.runs.metrics import (
    FileOffset,
    MetricsReader,
    Poll,
    RunningMedian,
    is_metrics_row,
    read_raw_rows,
    tail_offset,
)

ROWS = [
    status_row(0, "running"),
    eval_row(0, 4.2),
    train_row(10, message='quotes " and \\ and \x1b[31m and ä and \u2028 and \udc80'),
    train_row(20, train_loss=None),
    resume_row(10),
    train_row(20),
]

VALUES = (
    st.none()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)


def write(path: Path, rows: list[dict[str, Any]]) -> bytes:
    with JsonlWriter(path) as metrics:
        for row in rows:
            metrics.append(row)
    return path.read_bytes()


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    write(tmp_path / "m", ROWS)

    assert read_raw_rows(tmp_path / "m") == ROWS


def test_every_byte_prefix_gives_all_of_its_whole_rows(tmp_path: Path) -> None:
    data = write(tmp_path / "m", ROWS)
    for length in range(len(data) + 1):
        (tmp_path / "prefix").write_bytes(data[:length])
        whole = data[:length].count(b"\n")
        assert read_raw_rows(tmp_path / "prefix") == ROWS[:whole]


def test_every_byte_prefix_can_be_appended_to(tmp_path: Path) -> None:
    data = write(tmp_path / "m", ROWS)
    extra = train_row(99)
    for length in range(len(data) + 1):
        path = tmp_path / "prefix"
        path.write_bytes(data[:length])
        write(path, [extra])
        rows = read_raw_rows(path)
        whole = data[:length].count(b"\n")
        # A line that lacks only its newline is completed, a torn one is removed.
        finished = int(length < len(data) and data[length : length + 1] == b"\n")
        assert rows == [*ROWS[: whole + finished], extra]
        assert path.read_bytes().endswith(b"}\n")


def test_a_growing_file_is_read_once_and_in_order(tmp_path: Path) -> None:
    data = write(tmp_path / "m", ROWS)
    path = tmp_path / "growing"
    reader = MetricsReader(path)
    assert reader.poll().rows == []
    got = []
    with path.open("wb", buffering=0) as file:
        for index in range(len(data)):
            file.write(data[index : index + 1])
            poll = reader.poll()
            assert not poll.reset
            got += poll.rows
            assert got == ROWS[: data[: index + 1].count(b"\n")]


@pytest.mark.parametrize("way", ["truncated", "replaced", "overwritten", "deleted"])
def test_a_replaced_file_is_noticed(tmp_path: Path, way: str) -> None:
    path = tmp_path / "m"
    write(path, ROWS)
    reader = MetricsReader(path)
    reader.poll()
    longer = [train_row(step) for step in range(50)]
    if way == "truncated":
        os.truncate(path, 0)
        assert reader.poll().reset
        write(path, longer)
        assert reader.poll().rows == longer
        return
    if way == "deleted":
        path.unlink()
        poll = reader.poll()
        assert (poll.rows, poll.reset) == ([], True)
        write(path, longer)
        assert reader.poll().rows == longer
        return
    write(tmp_path / "new", longer)
    if way == "replaced":
        (tmp_path / "new").replace(path)
    else:
        path.write_bytes((tmp_path / "new").read_bytes())
    poll = reader.poll()
    assert (poll.rows, poll.reset) == (longer, True)
    assert reader.poll().rows == []


def test_a_repaired_tail_does_not_count_as_a_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, ROWS[:2])
    with path.open("ab") as file:
        file.write(b'{"event": "train", "st')
    reader = MetricsReader(path)
    assert reader.poll().rows == ROWS[:2]
    write(path, ROWS[2:3])

    poll = reader.poll()
    assert (poll.rows, poll.reset) == (ROWS[2:3], False)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   ",
        b"\xff\xfe",
        b"null",
        b"5",
        b"[1, 2]",
        b'"text"',
        b"{",
        b"}",
        b'{"event": "train", "step": 1},{"event": "train", "step": 2}',
        b'{"step": 1}',
        b'{"event": "train"}',
        b'{"event": 5, "step": 1}',
        b'{"event": "train", "step": "1"}',
        b'{"event": "train", "step": true}',
        b'{"event": "train", "step": 1.5}',
        b"[" * 100_000,
        b'{"event": "train", "step": ' + b"9" * 10_000 + b"}",
        b"\0" * 512,
    ],
)
def test_a_line_that_is_not_a_row_is_left_out(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "m").write_bytes(
        b"\n".join([encode_row(ROWS[0]).strip(), line, encode_row(ROWS[1]).strip(), b""])
    )

    assert read_raw_rows(tmp_path / "m") == ROWS[:2]


def test_unknown_events_and_keys_are_kept(tmp_path: Path) -> None:
    row = {"event": "adapter", "step": 3, "something": [1]}
    write(tmp_path / "m", [row])

    assert read_rows(tmp_path / "m") == [row]


def test_non_finite_numbers_are_written_as_null(tmp_path: Path) -> None:
    row = train_row(1, train_loss=math.nan, grad_norm=math.inf, nested={"x": [-math.inf, 1.0]})
    data = write(tmp_path / "m", [row])

    parsed = json.loads(data, parse_constant=pytest.fail)
    assert parsed["train_loss"] is None
    assert parsed["grad_norm"] is None
    assert parsed["nested"] == {"x": [None, 1.0]}


def test_non_finite_numbers_are_read_as_null() -> None:
    assert parse_lines(b'{"event": "train", "step": 1, "loss": NaN}\n')[0]["loss"] is None


def test_files_contain_no_control_characters(tmp_path: Path) -> None:
    data = write(tmp_path / "m", [train_row(1, text="\x1b]52;c;x\x07 \x9b1m \u202e")])

    assert all(byte == 0x0A or 0x20 <= byte < 0x7F for byte in data)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(), VALUES)))
def test_any_row_is_one_line(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "m"
    path.unlink(missing_ok=True)
    data = write(path, rows)

    assert data.count(b"\n") == len(rows)
    assert parse_lines(data) == rows


def test_rows_after_the_resumed_step_are_dropped(tmp_path: Path) -> None:
    write(
        tmp_path / "m",
        [
            status_row(0, "running"),
            train_row(10),
            eval_row(20, 3.0),
            train_row(20),
            {"event": "warning", "step": 25, "message": "hot"},
            train_row(30),
            status_row(30, "failed"),
            resume_row(20),
            status_row(20, "running"),
            train_row(30, train_loss=1.0),
        ],
    )

    assert read_rows(tmp_path / "m") == [
        status_row(0, "running"),
        train_row(10),
        eval_row(20, 3.0),
        train_row(20),
        resume_row(20),
        status_row(20, "running"),
        train_row(30, train_loss=1.0),
    ]


def test_the_later_of_two_rows_for_one_step_counts(tmp_path: Path) -> None:
    write(tmp_path / "m", [train_row(20), resume_row(20), train_row(20, train_loss=9.0)])

    assert read_rows(tmp_path / "m") == [train_row(20, train_loss=9.0), resume_row(20)]


def test_after_two_resumes_the_last_rows_count(tmp_path: Path) -> None:
    write(
        tmp_path / "m",
        [
            *(train_row(step) for step in range(0, 50, 10)),
            resume_row(20),
            train_row(30, lr=2.0),
            train_row(40, lr=2.0),
            resume_row(10),
            train_row(20, lr=3.0),
        ],
    )

    rows = [row for row in read_rows(tmp_path / "m") if row["event"] == "train"]
    assert [(row["step"], row["lr"]) for row in rows] == [(0, 1e-3), (10, 1e-3), (20, 3.0)]


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "none") == []


def test_a_folder_instead_of_the_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path) == []


def test_a_failed_write_never_leaves_half_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    metrics = JsonlWriter(path)
    metrics.append(ROWS[0])
    real_write, calls = os.write, 0

    def short_then_full(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls % 2:
            return real_write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", short_then_full)
    with pytest.raises(RunError, match="No space left"):
        metrics.append(ROWS[1])
    assert path.read_bytes() == encode_row(ROWS[0])

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as deeper:
        deeper.setattr(os, "ftruncate", refuse)
        with pytest.raises(RunError):
            metrics.append(ROWS[1])
    assert path.read_bytes() != encode_row(ROWS[0])
    monkeypatch.undo()

    metrics.append(ROWS[2])
    metrics.close()
    assert read_raw_rows(path) == [ROWS[0], ROWS[2]]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, data[:7]))

    write(tmp_path / "m", ROWS)

    assert read_raw_rows(tmp_path / "m") == ROWS


def test_an_unwritable_folder_gives_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="could not be written"):
        JsonlWriter(tmp_path / "missing" / "m")


def test_closing_twice_does_nothing(tmp_path: Path) -> None:
    metrics = JsonlWriter(tmp_path / "m")
    metrics.close()
    metrics.close()


def test_lines_longer_than_a_block_are_read_and_repaired(tmp_path: Path) -> None:
    long = train_row(1, message="x" * 9_000_000)
    path = tmp_path / "m"
    write(path, [ROWS[0], long])
    assert read_raw_rows(path) == [ROWS[0], long]

    os.truncate(path, path.stat().st_size - 2)
    write(path, [ROWS[1]])
    assert read_raw_rows(path) == ROWS[:2]


def test_the_last_step_that_a_float_counts_exactly_is_kept() -> None:
    for step, is_row in ((2**53 - 1, True), (2**53, False), (-(2**53), False), (-3, True)):
        assert is_metrics_row(train_row(step)) is is_row


def test_a_later_reader_continues_where_an_earlier_one_stopped(tmp_path: Path) -> None:
    path = tmp_path / "m"
    data = write(path, [*ROWS, train_row(25, message="x" * 300), train_row(26)])
    first = MetricsReader(path)
    first.poll()
    assert first.position == FileOffset(len(data), path.stat().st_ino, data[-256:].hex())

    write(path, [train_row(99)])
    poll = MetricsReader(path, first.position).poll()
    assert (poll.rows, poll.reset) == ([train_row(99)], False)


def test_a_short_file_is_known_by_all_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "m"
    reader = MetricsReader(path)
    data = b""
    for row in ROWS[:2]:
        data = write(path, [row])
        reader.poll()
    assert reader.position.last_bytes == data.hex()[-512:]


@pytest.mark.parametrize("what", ["other bytes", "another inode", "shorter"])
def test_a_position_in_another_file_starts_from_its_beginning(tmp_path: Path, what: str) -> None:
    path = tmp_path / "m"
    write(path, ROWS)
    reader = MetricsReader(path)
    reader.poll()
    position = reader.position
    if what == "other bytes":
        position = dataclasses.replace(position, last_bytes="00" * 256)
    if what == "another inode":
        position = dataclasses.replace(position, inode=0)
    if what == "shorter":
        write(path, [])
        os.truncate(path, path.read_bytes().index(b"\n") + 1)
    poll = MetricsReader(path, position).poll()
    assert poll.reset
    assert poll.rows == (ROWS[:1] if what == "shorter" else ROWS)


def test_an_empty_file_is_never_a_replaced_one(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"")
    reader = MetricsReader(path, FileOffset(0, inode=1))
    assert not reader.poll().reset
    path.unlink()
    assert not reader.poll().reset


def test_a_long_file_is_read_in_blocks_of_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "m"
    rows = [train_row(step, message="x" * 1000) for step in range(2500)]
    size = len(write(path, rows))
    blocks = [part.rows for part in MetricsReader(path).blocks()]
    assert [row for block in blocks for row in block] == rows
    assert len(blocks) == -(-size // 2**18)


def test_rows_are_chosen_by_the_reader(tmp_path: Path) -> None:
    write(tmp_path / "m", ROWS)
    rows = read_raw_rows(tmp_path / "m", accept=lambda row: row["event"] == "eval")
    assert rows == [eval_row(0, 4.2)]


def test_a_tail_begins_with_its_first_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"\n{}\n\n[1]\n{}\n")
    starts = [0, 1, 4, 5, 9, 12]
    for size in range(1, 15):
        expected = next(start for start in starts if start >= 12 - size)
        assert tail_offset(path, size).offset == expected


def test_records_of_the_reader_cannot_be_changed() -> None:
    for record, name in (
        (Poll([], False), "reset"),
        (FileOffset(), "offset"),
        (RunningMedian(), "below"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, 5)


def test_a_file_that_another_program_changed_is_repaired_before_the_next_row(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m"
    with JsonlWriter(path) as metrics:
        metrics.append(ROWS[0])
        with path.open("ab") as other:
            other.write(b'{"torn')
        metrics.append(ROWS[1])
        metrics.append(ROWS[2])
    assert path.read_bytes() == b"".join(map(encode_row, ROWS[:3]))


def test_errors_of_the_disk_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "m"
    path.write_bytes(b'{"torn')
    before = psutil.Process().num_fds()
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises(RunError, match="could not be written: Input/output error"):
            JsonlWriter(path)
    assert psutil.Process().num_fds() == before
    with JsonlWriter(path) as metrics, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(RunError, match="could not be written: Input/output error"):
            metrics.sync()


def test_a_closed_writer_gives_its_descriptor_back(tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    metrics = JsonlWriter(tmp_path / "m")
    assert psutil.Process().num_fds() == before + 1
    metrics.close()
    assert psutil.Process().num_fds() == before


def test_a_closed_writer_does_not_close_the_file_of_another(tmp_path: Path) -> None:
    metrics = JsonlWriter(tmp_path / "m")
    metrics.close()
    with (tmp_path / "other").open("wb") as other:
        metrics.close()
        other.write(b"x")
    assert (tmp_path / "other").read_bytes() == b"x"


@pytest.mark.parametrize("size", [2**16 - 1, 2**16, 2**16 + 1, 2**17 + 1])
def test_a_torn_line_about_as_long_as_a_block_is_cut_off_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"{" + b"x" * (size - 1))
    JsonlWriter(path).close()
    assert path.read_bytes() == b""
    row = encode_row(train_row(1, message="x" * size))[:-1]
    path.write_bytes(row)
    JsonlWriter(path).close()
    assert path.read_bytes() == row + b"\n"
