"""A hundred thousand hostile texts through each function that prepares text for the screen."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from rich.style import Style

from builders.hostile import harm_in, hostile_texts
from transformer_playground.generation.samples import SampledToken, SampleEnd
from transformer_playground.runs.details import CheckpointFile
from transformer_playground.runs.fields import RunInfo
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.charts.series import ChartLine, PreparedLine
from transformer_playground.tui.charts.strips import Legend, legend_entry
from transformer_playground.tui.core.checkpoints import Choice
from transformer_playground.tui.live.quantities import find_quantity, quantities_in
from transformer_playground.tui.live.stats import log_line
from transformer_playground.tui.runs.details_state import ExperimentDetails, RunSectionData
from transformer_playground.tui.runs.details_text import (
    experiment_overview,
    log_lines,
    run_overview,
    sample_lines,
    settings_lines,
)
from transformer_playground.tui.runs.table_state import RunsTableState
from transformer_playground.tui.sample.form import choice_text
from transformer_playground.tui.sample.form_state import History
from transformer_playground.tui.sample.transcript import Transcript
from transformer_playground.tui.shared.checkpoint_rows import checkpoint_rows
from transformer_playground.tui.shared.text import shorten_middle, shorten_start, state_text

Gate = Callable[[str], Iterator[str]]
ONE = np.ones(1)


def words(text: str) -> Iterator[str]:
    once = visible(text)
    assert visible(once) == once
    yield once


def names(text: str) -> Iterator[str]:
    yield visible_line(text)


def table_cells(text: str) -> Iterator[str]:
    row = RunInfo(text, text, text, experiment=text, tags=(text, text), note=text)
    state = RunsTableState(("status", "experiment", "tag", "note", "problem", f"model.{text}"))
    state.take({text: RunInfo(**{**vars(row), "settings": {f"model.{text}": text}})}, now=0.0)
    for column in state.columns():
        yield column.header
        yield state.text(text, column, 0.0)


def log_of_the_run(text: str) -> Iterator[str]:
    for row in (
        {"event": "warning", "message": text},
        {"event": "checkpoint", "kinds": [text, 3]},
        {"event": "resume", "checkpoint": text},
        {"event": "status", "status": text, "best_val_loss": text},
        {"event": "status", "status": "failed", "error": text},
        {"event": "eval", "val_loss": text, "train_loss": None},
    ):
        line = log_line({"step": 1, "time": text, **row})
        assert line is not None
        yield line.text
    yield state_text(text)


def details(text: str) -> Iterator[str]:
    row = RunInfo(text, text, text, experiment=text, tags=(text,), note=text)
    facts = RunSectionData(
        text,
        "overview",
        Path("runs") / text,
        environment={"device_name": text, "dtype": text, "host": text},
        dataset={"vocab_size": text},
        checkpoints=(CheckpointFile(text, problem=text), CheckpointFile(text, "last", 3)),
        samples=({"step": text, "prompt": text, "text": text},),
        log=(text,),
    )
    experiment = ExperimentDetails(text, text, "prepared", text, (text,), readme=text)
    for lines in (
        run_overview(row, facts, None, 80, 0.0),
        run_overview(row, RunSectionData(text, "log", Path(text), problems=(text,)), row, 80, 0.0),
        sample_lines(facts),
        log_lines(facts),
        experiment_overview(experiment, "enter"),
    ):
        yield from (part for line in lines for part, _ in line)


def settings(text: str) -> Iterator[str]:
    for line in settings_lines({text: text, "a": [text]}, {text: text}):
        yield from (part for part, _ in line)


def transcripts(text: str) -> Iterator[str]:
    transcript = Transcript(text, 1, width=9)
    transcript.add(SampledToken(0, 0, 0, -1.0, text))
    transcript.add(SampleEnd(0, "length", text))
    transcript.arrange()
    yield transcript.text(0)
    for number in range(transcript.n_rows):
        yield from (part for _, part in transcript.row(number)[1])


def legends(text: str) -> Iterator[str]:
    line = ChartLine("key", text, ONE, ONE, text, glyph=text)
    entry = legend_entry(PreparedLine(line, log=False, smoothing=0.0), None, Style())
    for width in (10, 60):
        for strip in Legend([entry, entry], [], width, 2, Style(), Style()).strips(2):
            yield from (segment.text for segment in strip)


def cut_names(text: str) -> Iterator[str]:
    name = visible_line(text)
    yield shorten_middle(name, 7)
    yield shorten_start(name, 3)


def prompts(text: str) -> Iterator[str]:
    history = History([text])
    history.add(text)
    yield from history.entries
    yield history.move(1, "")


def checkpoints(text: str) -> Iterator[str]:
    choice = Choice((text,), 3, 2.0)
    yield choice_text(choice).plain
    yield from (row.plain for _, row in checkpoint_rows([choice]))


def quantities(text: str) -> Iterator[str]:
    yield find_quantity(text, "event").title
    yield from (each.title for each in quantities_in([(text, text), ("train", text)]))


GATES: list[tuple[Gate, int, bool]] = [
    (words, 30_000, False),
    (names, 30_000, True),
    (table_cells, 8_000, True),
    (log_of_the_run, 8_000, True),
    (details, 3_000, False),
    (settings, 3_000, True),
    (transcripts, 5_000, False),
    (legends, 5_000, True),
    (cut_names, 5_000, True),
    (quantities, 5_000, True),
    (prompts, 5_000, True),
    (checkpoints, 3_000, True),
]


@pytest.mark.parametrize(
    ("gate", "count", "one_line"), GATES, ids=[each[0].__name__ for each in GATES]
)
def test_no_control_sequence_reaches_the_terminal(gate: Gate, count: int, one_line: bool) -> None:
    for number, text in enumerate(hostile_texts(count, seed=count)):
        for shown in gate(text):
            harm = harm_in(shown, one_line=one_line)
            assert harm is None, f"{harm} of {text!r} (number {number}) came through as {shown!r}"


def test_a_control_sequence_in_pieces_does_not_reach_the_terminal() -> None:
    for text in chain(hostile_texts(2_000, seed=1)):
        assert "".join(map(visible, text)) == visible(text)
