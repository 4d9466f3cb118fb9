import contextlib
import dataclasses
import io
import json
import math
import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from builders.events import logged_step
from builders.runs import make_run
from transformer_playground.errors import TrainingError
from transformer_playground.runs.metrics import read_samples
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    Sampled,
    StatusChanged,
    StepLogged,
    Warned,
)
from transformer_playground.training.sinks.base import MOST_FAILURES, EventBus, Sink
from transformer_playground.training.sinks.run_files import (
    SamplesSink,
    TensorBoardSink,
    event_rows,
)
from transformer_playground.training.sinks.text import LineSink, LogFileSink, ProgressSink, describe

STARTED = RunStarted(
    step=0,
    run_id="r",
    max_iters=5,
    parameters=10,
    device="cpu",
    dtype="float32",
    dtype_reason="as configured",
    tokens_per_step=4,
    resumed_from=None,
)
SAMPLED = Sampled(step=1, prompt="a", text="b", seed=1, temperature=1.0, top_k=0, top_p=1.0)
EVENTS: list[Event] = [
    STARTED,
    StepLogged(
        step=1,
        train_loss=2.0,
        lr=0.1,
        tokens_per_sec=5.0,
        step_time_ms=3.0,
        data_share=0.01,
        grad_norm=1.0,
        tokens_seen=4,
    ),
    Evaluated(
        step=1,
        train_loss=2.0,
        val_loss=2.5,
        train_ppl=math.exp(2.0),
        val_ppl=math.exp(2.5),
        val_bits_per_byte=3.0,
        eval_windows=240,
        window_tokens=64,
        is_best=True,
    ),
    SAMPLED,
    CheckpointSaved(step=1, kinds=("last", "best"), path="checkpoints/x.pt"),
    Warned(step=1, message="careful"),
    StatusChanged(step=1, status="paused"),
    RunFinished(
        step=5,
        status="finished",
        early_stopped=False,
        best_val_loss=2.5,
        best_step=1,
        tokens_seen=20,
        wall_time=1.0,
        peak_memory=1 << 20,
    ),
    RunFailed(step=5, error="boom"),
]


@contextlib.contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Files cannot grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@dataclass
class Recorder:
    essential: bool = False
    events: list[Event] = field(default_factory=list)
    closed: bool = False

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def sync(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True


class Broken(Recorder):
    def handle(self, event: Event) -> None:
        raise OSError(f"no space left for {type(event).__name__}")


def test_every_event_reaches_every_sink_in_order() -> None:
    sinks = [Recorder(), Recorder()]
    bus = EventBus(sinks)
    for event in EVENTS:
        bus.emit(event)
    assert [sink.events for sink in sinks] == [EVENTS, EVENTS]


def test_a_failing_sink_is_reported_once_and_tried_again() -> None:
    recorder = Recorder()
    bus = EventBus([Broken(), recorder])
    bus.emit(STARTED)
    bus.emit(STARTED)
    warnings = [event for event in recorder.events if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert "Broken" in warnings[0].message
    assert "no space left" in warnings[0].message
    assert recorder.events.count(STARTED) == 2


@dataclass
class Unreliable(Recorder):
    """Fails while `error` is set."""

    error: Exception | None = None

    def handle(self, event: Event) -> None:
        if self.error:
            raise self.error
        self.events.append(event)


def warnings_of(recorder: Recorder) -> list[str]:
    return [event.message for event in recorder.events if isinstance(event, Warned)]


def test_a_sink_that_works_again_gets_later_events_and_says_what_it_missed() -> None:
    recorder, sink = Recorder(), Unreliable(error=OSError("disk full"))
    bus = EventBus([sink, recorder])
    for _ in range(20):
        bus.emit(STARTED)
    sink.error = None
    for _ in range(3):
        bus.emit(STARTED)
    assert sink.events.count(STARTED) == 3
    first, last = warnings_of(recorder)
    assert first == "Unreliable failed and will be tried again: disk full"
    # The first warning is an event too.
    assert last == "Unreliable works again; it missed 21 events."


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(OSError("disk full"), MOST_FAILURES), (BrokenPipeError(), 1), (KeyError("bug"), 1)],
)
def test_only_a_fault_that_lasts_drops_a_sink(error: Exception, attempts: int) -> None:
    recorder, sink = Recorder(), Unreliable(error=error)
    bus = EventBus([sink, recorder])
    for _ in range(MOST_FAILURES):
        bus.emit(STARTED)
    sink.error = None
    bus.emit(STARTED)
    assert sink.events == []
    assert "was dropped" in warnings_of(recorder)[-1]
    assert len(warnings_of(recorder)) == (1 if attempts == 1 else 2)


@pytest.mark.parametrize("kind", ["samples", "log"])
def test_rows_that_a_full_disk_delayed_are_written_later(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path)
    path = run.samples_path if kind == "samples" else run.log_path
    sink: Sink = SamplesSink(run) if kind == "samples" else LogFileSink(run.log_path)
    recorder = Recorder()
    bus = EventBus([sink, recorder])
    samples = [dataclasses.replace(SAMPLED, step=step) for step in range(4)]
    bus.emit(samples[0])
    limit = path.stat().st_size + 10
    with limited_files(limit):
        bus.emit(samples[1])
        bus.emit(samples[2])
    bus.emit(samples[3])
    bus.close()
    text = path.read_text()
    if kind == "samples":
        assert [row["step"] for row in read_samples(run)] == [0, 1, 2, 3]
    else:
        assert [f"step {step}: sample" in text for step in range(4)] == [True] * 4
        assert text.count("step 1: sample") == 1
    assert len(warnings_of(recorder)) == 1


def test_two_failing_sinks_do_not_report_each_other_endlessly() -> None:
    recorder = Recorder()
    EventBus([Broken(), Broken(), recorder]).emit(STARTED)
    assert sum(isinstance(event, Warned) for event in recorder.events) == 2


def test_a_failing_essential_sink_ends_training() -> None:
    with pytest.raises(TrainingError, match="no space left"):
        EventBus([Broken(essential=True)]).emit(STARTED)


def test_closing_closes_all_sinks() -> None:
    sinks = [Recorder(), Recorder()]
    EventBus(sinks).close()
    assert all(sink.closed for sink in sinks)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_has_text_and_rows_of_json_values(event: Event) -> None:
    assert describe(event)
    for row in event_rows(event):
        assert {"event", "step", "time"} <= set(json.loads(json.dumps(row, allow_nan=False)))


def test_system_metrics_are_numbers_of_the_row_and_scalars_where_they_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[tuple[str, float, int]] = []

    class Writer:
        def add_scalar(self, tag: str, value: float, step: int, *, walltime: float) -> None:
            if tag.startswith("system/"):
                added.append((tag, value, step))

    monkeypatch.setattr(TensorBoardSink, "_open", lambda *_: Writer())
    sink = TensorBoardSink(tmp_path, resumed_at=None)
    first, second = {"cpu_percent": 90.0, "disk_free": 7}, {"cpu_percent": 50.0}
    events = [logged_step(1)]
    events += [logged_step(step, system=first) for step in (2, 3)]
    events += [logged_step(step, system=second) for step in (4, 5)]
    for event in events:
        sink.handle(event)
    assert added == [
        ("system/cpu_percent", 90.0, 2),
        ("system/disk_free", 7, 2),
        ("system/cpu_percent", 50.0, 4),
    ]
    rows = [row for event in events for row in event_rows(event)]
    assert [row.get("cpu_percent") for row in rows] == [None, 90.0, 90.0, 50.0, 50.0]
    assert [row.get("disk_free") for row in rows] == [None, 7, 7, None, None]
    assert not any("system" in row for row in rows)


def test_a_resumed_start_is_preceded_by_a_resume_row() -> None:
    resumed = RunStarted(
        step=3,
        run_id="r",
        max_iters=5,
        parameters=10,
        device="cpu",
        dtype="float32",
        dtype_reason="as configured",
        tokens_per_step=4,
        resumed_from="ckpt.pt",
    )
    rows = event_rows(resumed)
    assert [row["event"] for row in rows] == ["resume", "status"]
    assert rows[0]["step"] == 3
    assert rows[0]["checkpoint"] == "ckpt.pt"


def test_the_bar_of_a_run_with_a_time_limit_follows_its_time() -> None:
    screen = Console(file=io.StringIO(), width=120)
    sink = ProgressSink(screen)
    (logged,) = [event for event in EVENTS if isinstance(event, StepLogged)]

    def done(step: int, seconds: float) -> tuple[float, str]:
        sink.handle(dataclasses.replace(logged, step=step, time=seconds))
        (task,) = sink._progress.tasks
        return task.completed, task.fields["steps"]

    # The branch of a run that had trained for half of the time.
    start = dataclasses.replace(STARTED, max_iters=1000, max_minutes=1.0, active_seconds=30.0)
    sink.handle(dataclasses.replace(start, time=0.0))
    assert done(10, 15.0) == (0.75, "  10/1000")
    sink.handle(StatusChanged(step=10, status="paused", time=18.0))
    sink.handle(StatusChanged(step=10, status="running", time=500.0))
    assert done(11, 503.0)[0] == pytest.approx(0.85)
    assert done(900, 504.0)[0] == 0.9
    assert done(950, 600.0)[0] == 1.0
    sink.close()


def test_escape_sequences_in_a_sample_are_shown_as_symbols() -> None:
    lines: list[str] = []
    text = "\x1b]52;c;aGk=\x07 and \x9b2J"
    LineSink(lines.append).handle(
        Sampled(step=1, prompt="", text=text, seed=1, temperature=1.0, top_k=0, top_p=1.0)
    )
    assert "\x1b" not in lines[0]
    assert "\x07" not in lines[0]
    assert "\x9b" not in lines[0]
    assert "␛]52;c;aGk=" in lines[0]
