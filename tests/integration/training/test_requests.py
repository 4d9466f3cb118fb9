"""Control of a run in training through files of its folder, as by another process."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builders.schemas import check
from builders.training import Recorder, runtime, train
from transformer_playground.cli.main import main
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.metrics import read_raw_rows
from transformer_playground.runs.requests import Action, Answer, SentRequest, send_request
from transformer_playground.training import requests
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import Event, StepLogged


@dataclass
class Training:
    """A run that trains in a thread until it is stopped."""

    folder: Path
    run: RunFolder = field(init=False)

    def __post_init__(self) -> None:
        self.run = RunFolder(self.folder / "runs" / "run")
        self._control, self._has_begun = TrainingControl(), threading.Event()
        self._thread = threading.Thread(target=self._train)

    def _train(self) -> None:
        endless = runtime(max_iters=10**6, eval_interval=10**6)
        train(self.folder, endless, sinks=[Recorder(react=self._saw)], control=self._control)

    def _saw(self, event: Event) -> None:
        if isinstance(event, StepLogged):
            self._has_begun.set()

    def __enter__(self) -> "Training":
        self._thread.start()
        assert self._has_begun.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._control.stop()
        self._thread.join()

    def ask(self, action: Action) -> Answer:
        return send_request(self.run, action).answer()

    def events(self) -> list[str]:
        rows = read_raw_rows(self.run.metrics_path)
        return [str(row.get("status", row["event"])) for row in rows if row["event"] != "train"]


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Training]:
    monkeypatch.setattr(requests, "READ_SECONDS", 0.01)
    with Training(tmp_path) as training:
        yield training


def test_every_request_is_carried_out_answered_and_removed(training: Training) -> None:
    run, paused = training.run, training.ask("pause")
    begin = len(training.events())
    assert training.events()[-2:] == ["paused", "request"]
    assert all(training.ask(action) == paused for action in ("evaluate", "sample", "checkpoint"))
    events = training.events()
    assert [each for each in events[begin:] if each not in ("paused", "running")] == [
        *("eval", "request", "request", "checkpoint", "request")
    ]
    assert run.samples_path.read_text(encoding="utf-8").count("\n") == 1
    assert training.ask("pause") == paused
    assert training.ask("resume").done
    while training.ask("checkpoint").step == paused.step:
        # On a busy machine it has not taken a step yet.
        continue
    stopped = training.ask("stop")
    assert stopped.done
    rows = read_raw_rows(run.metrics_path)
    end = next(n for n, row in enumerate(rows) if row.get("action") == "stop")
    saved = [row["step"] for row in rows[:end] if row["event"] == "checkpoint"]
    assert saved[-1] == stopped.step
    assert list(run.requests.iterdir()) == []
    for row in rows:
        row.pop("monotonic")
        check("train", row)
    log = run.log_path.read_text(encoding="utf-8")
    assert f"step {paused.step}: pause requested from " in log


def test_a_request_that_is_none_becomes_a_warning_of_the_run(training: Training) -> None:
    training.ask("pause")
    (training.run.requests / "1-0000abcd.json").write_text("{}", encoding="utf-8")
    training.ask("resume")
    assert "warning" in training.events()


def test_the_commands_print_what_was_asked_and_what_became_of_it(
    training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--runs-dir", str(training.run.root.parent)]
    assert main(["runs", "pause", "run", "--wait", *folder]) == 0
    asked, done = capsys.readouterr().out.splitlines()
    assert asked.startswith("Asked process ")
    assert asked.endswith(", which trains run: pause.")
    assert done.startswith("run: paused at step ")
    assert main(["runs", "evaluate", "run", "--json", *folder]) == 0
    document = json.loads(capsys.readouterr().out)
    check("runs-change", document)
    assert (document["action"], document["answer"]) == ("evaluate", None)
    assert main(["runs", "stop", "run", "--json", "--wait", *folder]) == 0
    document = json.loads(capsys.readouterr().out)
    check("runs-change", document)
    assert document["answer"]["done"]
    (answered,) = (
        row
        for row in read_raw_rows(training.run.metrics_path)
        if row.get("request") == document["request"]
    )
    assert answered["step"] == document["answer"]["step"]


def test_a_request_that_could_not_be_carried_out_is_an_error(
    training: Training, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(SentRequest, "answer", lambda _: Answer(3, done=False))
    folder = str(training.run.root.parent)
    assert main(["runs", "checkpoint", "run", "--wait", "--runs-dir", folder]) == 1
    assert "could not checkpoint at step 3" in capsys.readouterr().err
