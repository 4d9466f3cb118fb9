"""`tp serve`: refusals in one sentence, and the answer to Ctrl-C."""

import json
import signal
import socket
import subprocess
import urllib.request

import pytest

from builders.commands import TP, Project, Tp


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_an_address_that_others_can_reach_needs_a_token(
    trained: Project, tp: Tp, host: str
) -> None:
    ended = tp("serve", "first", "--host", host)
    assert ended.code == 2
    assert "a token is needed" in ended.err


def test_a_port_in_use_is_one_sentence(trained: Project, tp: Tp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = tp("serve", "first", "--port", port)
    assert ended.code == 2
    assert f"Port {port} of 127.0.0.1 cannot be used" in ended.err


def test_a_token_that_no_header_can_hold_is_refused(trained: Project, tp: Tp) -> None:
    ended = tp("serve", "first", "--token", "größer")
    assert ended.code == 2
    assert "token" in ended.err


def test_a_run_without_a_checkpoint_is_refused(trained: Project, tp: Tp) -> None:
    for path in trained.run_named("first").checkpoints.iterdir():
        path.unlink()
    ended = tp("serve", "first", "--port", 0)
    assert ended.code == 1
    assert "checkpoint" in ended.err


def test_ctrl_c_ends_the_server_without_a_traceback(trained: Project) -> None:
    with subprocess.Popen(
        [str(TP), "serve", "first", "--port", "0"],
        cwd=trained.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line.startswith("serving first, step 20, on http://127.0.0.1:")
        url = line.split(" on ")[1].split(" ")[0]
        with urllib.request.urlopen(f"{url}/models", timeout=60) as answer:
            assert json.load(answer)["data"][0]["id"] == "first"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert out == ""
    assert err == "stopped by SIGINT; all accepted requests were answered\n"
