"""Runs followed through their files: what this console trains and what others do, alike.

`Tails.look` blocks on files and belongs on a thread of its own; what it returns never changes.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transformer_playground.jsonvalues import as_number, as_text
from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.lines import Row
from transformer_playground.runs.metrics import MetricsReader, Poll, is_metrics_row
from transformer_playground.runs.series import Axis, Curve, RunSeries
from transformer_playground.terminal import visible
from transformer_playground.tui.state.live import (
    Facts,
    LogLine,
    Quantity,
    facts_of,
    log_line,
)

MOST_LINES = 500
MOST_SAMPLES = 200
RECENT = 512
_LONGEST_SAMPLE = 20_000
_MOST_RESUMES = 1_000
_SPARK_KEYS = ("train_loss", "lr", "tokens_per_sec")


@dataclass(frozen=True)
class Ask:
    """What is to be looked at.

    Attributes:
        runs: Ids of the runs in the chart.
        focus: The one of them whose numbers, samples and log are shown.
        quantity: What the chart shows.
        x: Along which axis.
    """

    runs: tuple[str, ...]
    focus: str | None
    quantity: Quantity
    x: Axis = "step"


@dataclass(frozen=True)
class SampleText:
    """A text drawn while a run trained; both texts are harmless."""

    step: int
    prompt: str
    text: str


@dataclass(frozen=True)
class RunCurves:
    """A run in the chart.

    Attributes:
        curves: One for each part of the quantity; the same objects as before while nothing was
            added.
        problem: Why there is nothing to read, in words.
    """

    run_id: str
    curves: tuple[Curve, ...]
    problem: str = ""


@dataclass(frozen=True)
class Focus:
    """What is shown of one run.

    Attributes:
        life: Counts how often the run's rows began anew or went back; later rows of the same life
            come after those of before.
        recent: Steps and the values of the sparklines, one array each, the newest at the end.
    """

    run_id: str
    facts: Facts
    life: int
    recent: tuple[Curve, ...]
    log: tuple[LogLine, ...]
    samples: tuple[SampleText, ...]


@dataclass(frozen=True)
class Frame:
    """What there was to see at one moment.

    Attributes:
        changed: Whether anything is new since the last look.
        spent: Seconds of computing that the look took.
    """

    ask: Ask
    runs: tuple[RunCurves, ...]
    focus: Focus | None
    changed: bool
    spent: float


class Tail:
    """One run, followed through its files.

    Args:
        folder: The run's; it may vanish and come back.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.series = RunSeries(folder.metrics_path, listener=self._listen)
        self._sample_rows = MetricsReader(folder.samples_path, accept=_is_sample)
        self._samples: deque[Row] = deque(maxlen=MOST_SAMPLES)
        self._resumes: deque[tuple[int, float]] = deque(maxlen=_MOST_RESUMES)
        self._lines: deque[LogLine] = deque(maxlen=MOST_LINES)
        self._start: Row | None = None
        self._had_rows = False
        self._life = 0
        self._kept: tuple[tuple[Quantity, Axis], tuple[Curve, ...]] | None = None
        self._focus: Focus | None = None

    def poll(self) -> bool:
        """Take in what was added; whether anything was."""
        changed = self.series.poll()
        if changed:
            self._kept = None
        self._had_rows |= self.series.rows > 0
        changed |= self._poll_samples()
        if changed:
            self._focus = None
        return changed

    @property
    def problem(self) -> str:
        """Why there is nothing to read, in words."""
        if self.series.rows:
            return ""
        if not self._folder.root.is_dir():
            return "its folder is gone"
        if self._had_rows:
            return "metrics.jsonl is gone or empty"
        return ""

    def curves(self, quantity: Quantity, x: Axis) -> tuple[Curve, ...]:
        """The lines of a quantity, as the same objects while nothing was added."""
        wanted = (quantity, x)
        if self._kept is None or self._kept[0] != wanted:
            found = tuple(self.series.curve(part.event, part.key, x) for part in quantity.parts)
            self._kept = wanted, found
        return self._kept[1]

    def focus(self) -> Focus:
        """Numbers, samples and log; the same object while nothing was added."""
        if self._focus is None:
            self._focus = self._look_closely()
        return self._focus

    def _look_closely(self) -> Focus:
        curves = [self.series.curve("train", key) for key in _SPARK_KEYS]
        return Focus(
            self._folder.run_id,
            facts_of(self.series, self._start),
            self._life,
            tuple(Curve(curve.x[-RECENT:], curve.y[-RECENT:]) for curve in curves),
            tuple(self._lines),
            tuple(_sample(row) for row in self._samples if not self._is_superseded(row)),
        )

    def _listen(self, part: Poll) -> None:
        if part.reset:
            self._life += 1
            self._lines.clear()
            self._resumes.clear()
            self._start = None
            text = "metrics.jsonl was cut, replaced or removed; reading it anew"
            self._lines.append(LogLine(time.time(), 0, "warning", text))
        for row in part.rows:
            if row["event"] == "train":
                continue
            if row["event"] == "resume":
                self._life += 1
                self._resumes.append((row["step"], _time(row)))
            if row.get("status") == "running" and "max_iters" in row:
                self._start = row
            line = log_line(row)
            if line is not None:
                self._lines.append(line)

    def _poll_samples(self) -> bool:
        changed = False
        for part in self._sample_rows.blocks():
            if part.reset:
                self._samples.clear()
            self._samples.extend(part.rows)
            changed |= part.reset or bool(part.rows)
        return changed

    def _is_superseded(self, row: Row) -> bool:
        """Whether a later resume went back before this sample: the run draws it again."""
        return any(row["step"] > step and _time(row) <= at for step, at in self._resumes)


def _is_sample(row: Row) -> bool:
    return is_metrics_row({"event": "sample", **row}) and isinstance(row.get("text"), str)


def _sample(row: Row) -> SampleText:
    return SampleText(
        row["step"],
        visible((as_text(row.get("prompt")) or "")[:_LONGEST_SAMPLE]),
        visible(row["text"][:_LONGEST_SAMPLE]),
    )


def _time(row: Row) -> float:
    return as_number(row.get("time")) or 0.0


@dataclass
class Tails:
    """The runs that are looked at; not safe to be used by two threads at once.

    Args:
        runs_dir: Folder of runs.
    """

    runs_dir: Path
    _tails: dict[str, Tail] = field(default_factory=dict)
    _last: Ask | None = None

    @property
    def followed(self) -> Mapping[str, Tail]:
        """Who is followed now."""
        return self._tails

    def look(self, ask: Ask) -> Frame:
        """Read what was added to the runs' files; runs that are not asked for are forgotten."""
        began = time.thread_time()
        known = self._tails
        self._tails = {
            run_id: known.get(run_id) or Tail(RunFolder(self.runs_dir / run_id))
            for run_id in ask.runs
        }
        polled = [tail.poll() for tail in self._tails.values()]
        changed = any(polled) or ask != self._last
        self._last = ask
        runs = tuple(
            RunCurves(run_id, tail.curves(ask.quantity, ask.x), tail.problem)
            for run_id, tail in self._tails.items()
        )
        focus = self._tails[ask.focus].focus() if ask.focus in self._tails else None
        return Frame(ask, runs, focus, changed, time.thread_time() - began)
