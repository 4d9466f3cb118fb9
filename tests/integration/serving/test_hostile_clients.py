"""Requests that no honest client sends: each gets one clear answer, and the server goes on."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.serving import RunningServer, serving, write_run

COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(write_run(tmp_path_factory.mktemp("runs"))) as running:
        yield running
    assert running.notices == []
    assert running.ended
    assert running.ended[0].is_drained


def exchange(port: int, raw: bytes) -> tuple[int, Any]:
    """Send bytes; the status and JSON of the answer, read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(raw)
        answer = b""
        while received := connection.recv(1 << 16):
            answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    try:
        return status, json.loads(body)
    except ValueError:
        return status, body


def post(
    port: int, body: bytes, path: str = COMPLETIONS, method: str = "POST", **headers: str
) -> tuple[int, Any]:
    """A request with a body of JSON."""
    lines = {
        "Host": f"127.0.0.1:{port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return exchange(port, f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)


def ask(port: int, **fields: Any) -> tuple[int, Any]:
    return post(port, json.dumps({"prompt": "ab", "max_tokens": 2} | fields).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b'{"prompt": "a", "temperature": NaN}',
        b'{"prompt": "a", "temperature": Infinity}',
        b'{"prompt": "\xff\xfe"}',
        b'{"prompt": "\\ud800"}',
        b"\x00" * 100,
        b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' * 5_000 + b"1" + b"}" * 5_000,
    ],
    ids=range(12),
)
def test_what_is_not_json_is_refused(server: RunningServer, body: bytes) -> None:
    status, answer = post(server.port, body)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": 1e308}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": 10**40}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.01}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"n": 0}, "n"),
        ({"n": 10**30}, "n"),
        ({"n": 129}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": 100, "prompt": ["a", "b"]}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 1 << 64}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": "a" * 1001}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"x": 1}}, "stream_options"),
        ({"best_of": 2}, "best_of"),
        ({"suffix": "x"}, "suffix"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"unknown": 1}, "unknown"),
        ({"x" * 5000: 1}, "x" * 200),
        ({"model": 5}, "model"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [[1], "a", None]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**30]}, "prompt"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": "a" * 33}, "prompt"),
        ({"prompt": "a" * 1_000_000}, "prompt"),
        ({"prompt": [1] * 100_000}, "prompt"),
        ({"prompt": "Q"}, "prompt"),
        ({"prompt": ""}, "prompt"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_is_named(server: RunningServer, fields: dict[str, Any], param: str) -> None:
    status, answer = ask(server.port, **fields)
    assert status == 400, answer
    assert answer["error"]["param"] == param
    assert len(answer["error"]["message"]) < 1000


def test_neutral_values_of_fields_without_use_are_accepted(server: RunningServer) -> None:
    status, _ = ask(
        server.port,
        best_of=1,
        suffix=None,
        presence_penalty=0,
        frequency_penalty=0.0,
        logit_bias={},
        user="me",
        seed=-5,
        stop=None,
        temperature=2,
    )
    assert status == 200


def test_a_body_that_is_too_large_is_refused(server: RunningServer) -> None:
    status, answer = post(server.port, b'{"prompt": "' + b"a" * (3 << 20) + b'"}')
    assert status == 413
    assert "2 MiB" in answer["error"]["message"]


def test_other_content_than_json_is_refused(server: RunningServer) -> None:
    status, answer = post(server.port, b'{"prompt": "a"}', Content_Type="text/plain")
    assert status == 415
    assert "application/json" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/v1/nothing", "POST", 404),
        (COMPLETIONS, "GET", 405),
        (COMPLETIONS, "OPTIONS", 405),
        ("/v1/models/..%2f..%2fsecret", "GET", 404),
        ("/v1/models/" + "x" * 5000, "GET", 404),
    ],
)
def test_unknown_paths_are_answered_in_json(
    server: RunningServer, path: str, method: str, status: int
) -> None:
    got, answer = post(server.port, b"", path, method)
    assert got == status
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    "raw",
    [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
    ],
    ids=range(7),
)
def test_what_is_not_http_is_refused(
    server: RunningServer, raw: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _ = exchange(server.port, raw)
    assert status == 400
    assert ask(server.port)[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost", True),
        ("localhost:9999", True),
        ("127.0.0.1", True),
        ("[::1]:80", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
        ("evil.example@localhost:1", True),
        ("", False),
        ("[::", False),
    ],
)
def test_a_foreign_host_name_is_refused(server: RunningServer, host: str, is_allowed: bool) -> None:
    status, answer = post(server.port, b'{"prompt": "ab", "max_tokens": 1}', Host=host)
    assert status == (200 if is_allowed else 403), answer


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://localhost:1", "https://127.0.0.1"]
)
def test_web_pages_are_refused(server: RunningServer, origin: str) -> None:
    status, answer = post(server.port, b'{"prompt": "ab"}', Origin=origin)
    assert status == 403
    assert answer["error"]["code"] == "origin_not_allowed"


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_cut_connection_frees_its_place(tmp_path: Path, is_stream: bool) -> None:
    with serving(write_run(tmp_path), max_rows=2) as running:
        body = json.dumps({"prompt": "ab", "max_tokens": 4096, "n": 128, "stream": is_stream})
        head = (
            f"POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
            connection.sendall((head + body).encode())
            if is_stream:
                assert b"200 OK" in connection.recv(1 << 12)
        # Far from the end of half a million tokens.
        assert ask(running.port)[0] == 200
        assert running.server.engine.open_jobs == 0
    assert running.notices == []
    assert running.join().is_drained


def test_a_client_that_reads_nothing_holds_up_no_other(tmp_path: Path) -> None:
    with serving(write_run(tmp_path)) as running:
        body = json.dumps({"prompt": "ab", "max_tokens": 4096, "stream": True, "logprobs": 20})
        head = (
            f"POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
            connection.sendall((head + body).encode())
            assert ask(running.port)[0] == 200
