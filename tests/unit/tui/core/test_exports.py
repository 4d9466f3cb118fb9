"""Exports of the console, and the processes of its commands."""

import threading
from pathlib import Path

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.export.request import ExportRequest
from transformer_playground.tui.core import tp_process
from transformer_playground.tui.core.exports import Exports, export_arguments
from transformer_playground.tui.core.tp_process import Ended, TpProcess

DEAF = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", file=sys.stderr, flush=True)
time.sleep(600)
"""


def test_every_option_reaches_the_command() -> None:
    request = ExportRequest(
        target="gguf",
        checkpoint="last",
        quantize="q8_0",
        out=Path("-odd"),
        force=True,
        verify=False,
        custom_code=True,
    )
    assert export_arguments("-run", request, Path("experiments"), Path("runs")) == [
        "export",
        "--to=gguf",
        "--checkpoint=last",
        "--quantize=q8_0",
        "--out=-odd",
        "--experiments-dir=experiments",
        "--runs-dir=runs",
        "--force",
        "--no-verify",
        "--custom-code",
        "--",
        "-run",
    ]


def test_the_command_refuses_in_its_own_words(tmp_path: Path) -> None:
    job = Exports(tmp_path, tmp_path).start("-missing", ExportRequest("hf", dtype="float32"))
    job.work()
    assert job.state == "failed"
    assert "-missing" in job.text
    assert "Traceback" not in job.text


def test_one_export_runs_at_a_time_and_a_stopped_one_makes_room(tmp_path: Path) -> None:
    exports = Exports(tmp_path, tmp_path)
    job = exports.start("one", ExportRequest("hf"))
    for run_id in ("one", "two"):
        with pytest.raises(UsageError, match="ONE is being exported to hf"):
            exports.start(run_id, ExportRequest("onnx"), name_of=str.upper)
    assert exports.active_of("one") is job
    assert exports.active_of("two") is None
    exports.close()
    job.work()
    assert (job.state, exports.active) == ("stopped", None)
    exports.start("two", ExportRequest("onnx"))


def test_an_option_that_the_target_lacks_is_refused_before_a_process_starts(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="--quantize"):
        Exports(tmp_path, tmp_path).start("one", ExportRequest("hf", quantize="q8_0"))


def test_a_command_that_does_not_heed_the_request_to_stop_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tp_process, "_RUN_TP", DEAF)
    monkeypatch.setattr(tp_process, "_GRACE_SECONDS", 0.01)
    process = TpProcess([])
    ready = threading.Event()

    def stop() -> None:
        ready.wait()
        process.interrupt()

    stopper = threading.Thread(target=stop)
    stopper.start()
    ended = process.run(lambda _: ready.set())
    stopper.join()
    assert ended is not None
    assert ended.code == -9


def test_the_problem_is_the_error_the_signal_or_the_last_line() -> None:
    assert Ended(2, "", ("reading", "error: It is odd.", "Make it even.")).problem == "It is odd."
    assert Ended(2, "", ("reading", "error: It is odd.", "Make it even.")).hint == "Make it even."
    assert Ended(-9, "", ("reading",)).problem == "The process was ended by SIGKILL."
    assert Ended(1, "", ("Traceback", "ValueError: odd")).problem == "ValueError: odd"
    assert (Ended(1, "", ()).problem, Ended(1, "", ()).hint) == ("", "")
