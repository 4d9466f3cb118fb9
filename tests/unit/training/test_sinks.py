import json
import math
from dataclasses import dataclass, field

import pytest

from transformer_playground.errors import TrainingError
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
from transformer_playground.training.sinks.base import EventBus
from transformer_playground.training.sinks.run_files import event_rows
from transformer_playground.training.sinks.text import LineSink, describe

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
    Sampled(step=1, prompt="a", text="b", seed=1, temperature=1.0, top_k=0, top_p=1.0),
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
    ),
    RunFailed(step=5, error="boom"),
]


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


def test_a_failing_sink_is_reported_once_and_dropped() -> None:
    recorder = Recorder()
    bus = EventBus([Broken(), recorder])
    bus.emit(STARTED)
    bus.emit(STARTED)
    warnings = [event for event in recorder.events if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert "Broken" in warnings[0].message
    assert "no space left" in warnings[0].message
    assert recorder.events.count(STARTED) == 2


def test_two_failing_sinks_do_not_chase_each_other() -> None:
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
def test_every_event_has_words_and_rows_that_json_can_carry(event: Event) -> None:
    assert describe(event)
    for row in event_rows(event):
        assert {"event", "step", "time"} <= set(json.loads(json.dumps(row, allow_nan=False)))


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


def test_escape_sequences_in_a_sample_are_shown_not_sent() -> None:
    lines: list[str] = []
    text = "\x1b]52;c;aGk=\x07 and \x9b2J"
    LineSink(lines.append).handle(
        Sampled(step=1, prompt="", text=text, seed=1, temperature=1.0, top_k=0, top_p=1.0)
    )
    assert "\x1b" not in lines[0]
    assert "\x07" not in lines[0]
    assert "\x9b" not in lines[0]
    assert "␛]52;c;aGk=" in lines[0]
