"""Requests to a training process, as files of its run folder."""

import errno
import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest

from builders.runs import append_rows, make_run, status_row, write_writer
from transformer_playground.errors import RunError
from transformer_playground.runs import requests
from transformer_playground.runs.folder import RunFolder, remove_leftovers
from transformer_playground.runs.requests import (
    ACTIONS,
    Answer,
    Refused,
    Request,
    send_request,
    take_requests,
)
from transformer_playground.runs.status import RunLock, read_writer

HOST = platform.node()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = make_run(tmp_path, "tiny-1", [status_row(0, "running")])
    write_writer(run, session="s1")
    return run


def put(run: RunFolder, text: str, name: str = "1-0000abcd.json") -> Path:
    run.requests.mkdir(exist_ok=True)
    path = run.requests / name
    path.write_text(text, encoding="utf-8")
    return path


def document(**changes: Any) -> str:
    return json.dumps(
        {"schema_version": 1, "action": "pause", "session": "s1", "sender": "h"} | changes
    )


def answer_row(name: str, step: int = 7, **changes: Any) -> dict[str, Any]:
    row = {"event": "request", "step": step, "time": 1.0, "request": name, "action": "stop"}
    return row | {"sender": "h", "done": True} | changes


def test_what_is_sent_is_taken_once_and_in_order(run: RunFolder) -> None:
    sent = [send_request(run, action).request for action in ACTIONS]
    assert all(each.sender == HOST for each in sent)
    assert take_requests(run, "s1", set()) == sent
    assert list(run.requests.iterdir()) == []
    assert take_requests(run, "s1", set()) == []


def test_each_holding_of_the_lock_has_a_session_of_its_own(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    sessions = []
    for _ in range(2):
        with RunLock(run) as lock:
            writer = read_writer(run)
            assert writer is not None
            assert writer.session == lock.session
            sessions.append(lock.session)
    assert len(set(sessions)) == 2


def test_a_request_to_an_earlier_process_is_refused_by_the_next(run: RunFolder) -> None:
    send_request(run, "stop")
    (refused,) = take_requests(run, "s2", set())
    assert isinstance(refused, Refused)
    assert refused.reason == "'stop' was meant for an earlier process of this run"
    assert list(run.requests.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("\x00\x01", "not valid JSON"),
        ("[" * 4000, "not valid JSON"),
        ("[]", "not a request that this version knows"),
        (document(action="delete"), "not a request that this version knows"),
        (document(action=["stop"]), "not a request that this version knows"),
        (document(schema_version=2), "not a request that this version knows"),
        (document(session=None), "earlier process"),
        ("1" * 5000, "File too large"),
    ],
)
def test_a_file_that_is_no_request_is_refused_and_removed(
    run: RunFolder, text: str, reason: str
) -> None:
    path = put(run, text)
    (refused,) = take_requests(run, "s1", set())
    assert isinstance(refused, Refused)
    assert reason in refused.reason
    assert not path.exists()


def test_a_sender_of_any_length_and_type_is_harmless(run: RunFolder) -> None:
    put(run, document(sender="x" * 3000))
    put(run, document(sender=["\x1b"]), "2-0000abcd.json")
    long, odd = take_requests(run, "s1", set())
    assert isinstance(long, Request)
    assert len(long.sender) == 253
    assert odd == Request("2-0000abcd", "pause", "an unknown host")


def test_links_pipes_folders_and_other_names_do_nothing(run: RunFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(document(), encoding="utf-8")
    other = put(run, document(), "request.json")
    (run.requests / "1-0000abcd.json").symlink_to(elsewhere)
    os.mkfifo(run.requests / "2-0000abcd.json")
    folder = run.requests / "3-0000abcd.json"
    folder.mkdir()
    known: set[str] = set()
    taken = take_requests(run, "s1", known)
    assert [type(each) for each in taken] == [Refused] * 3
    assert elsewhere.exists()
    assert {path.name for path in run.requests.iterdir()} == {folder.name, other.name}
    assert take_requests(run, "s1", known) == [], "what cannot be removed is read once"


def test_a_folder_of_requests_that_is_a_link_is_neither_read_nor_written(
    run: RunFolder, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "1-0000abcd.json").write_text(document(), encoding="utf-8")
    run.requests.symlink_to(target)
    assert take_requests(run, "s1", set()) == []
    with pytest.raises(RunError, match="links are not followed"):
        send_request(run, "pause")
    assert len(list(target.iterdir())) == 1


def test_a_flood_is_read_in_parts(run: RunFolder) -> None:
    for number in range(100):
        put(run, document(), f"{number}-0000abcd.json")
    assert [len(take_requests(run, "s1", set())) for _ in range(3)] == [64, 36, 0]


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_run_that_has_ended_takes_no_requests(run: RunFolder, state: str) -> None:
    append_rows(run, [status_row(5, state)])
    with pytest.raises(RunError, match=f"not training; it is {state}") as refused:
        send_request(run, "pause")
    assert refused.value.hint == "To train on: tp train --resume tiny-1"
    assert not run.requests.exists()


def test_a_process_of_an_older_version_is_named(run: RunFolder) -> None:
    write_writer(run)
    with pytest.raises(RunError, match=rf"older version \(process {os.getpid()}\)"):
        send_request(run, "stop")


def test_a_read_only_folder_is_one_sentence(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(requests, "replace_json", refuse)
    with pytest.raises(RunError, match=r"requests cannot be written: Permission denied\.") as error:
        send_request(run, "pause")
    assert "only those who can write it can control the run" in error.value.hint


def test_a_file_in_place_of_the_folder_is_one_sentence(run: RunFolder) -> None:
    run.requests.write_text("", encoding="utf-8")
    with pytest.raises(RunError, match=r"requests cannot be written: File exists\."):
        send_request(run, "pause")


def test_the_answer_to_a_request_is_found_among_other_rows(run: RunFolder) -> None:
    sent = send_request(run, "checkpoint")
    rows = [answer_row("1-another"), answer_row(sent.request.name, 9, done=False)]
    append_rows(run, rows)
    assert sent.answer() == Answer(9, done=False)


def test_a_run_that_ends_before_it_answers_is_an_error(run: RunFolder) -> None:
    sent = send_request(run, "sample")
    append_rows(run, [status_row(5, "finished")])
    run.writer_path.unlink()
    with pytest.raises(RunError, match="ended before it answered; it is finished"):
        sent.answer()


def test_an_answer_just_before_the_end_counts(run: RunFolder) -> None:
    sent = send_request(run, "stop")
    append_rows(run, [answer_row(sent.request.name), status_row(7, "stopped")])
    write_writer(run, session="a resumed run")
    assert sent.answer() == Answer(7, done=True)


def test_a_request_that_is_being_written_survives_the_start_of_a_run(run: RunFolder) -> None:
    path = put(run, "", ".1-0000abcd.json.x.tmp")
    remove_leftovers(run)
    assert path.exists()
    os.utime(path, (1.0, 1.0))
    remove_leftovers(run)
    assert not path.exists()
