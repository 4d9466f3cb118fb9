"""Followers of runs: they read what is added to the files of runs, whoever trains them.

`RunFollowers.poll` blocks on files and belongs on a thread of its own; what it returns never
changes.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transformer_playground.jsonvalues import as_text
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.metrics import (
    MetricsReader,
    Poll,
    is_metrics_row,
    is_superseded,
)
from transformer_playground.runs.series import Axis, Curve, RunSeries
from transformer_playground.terminal import visible
from transformer_playground.tui.live.state import (
    LogLine,
    Quantity,
    RunStats,
    log_line,
    stats_of,
)

MOST_LINES = 500
MOST_SAMPLES = 200
RECENT = 512
_LONGEST_SAMPLE = 20_000
_SPARK_KEYS = ("train_loss", "lr", "tokens_per_sec")


@dataclass(frozen=True)
class ViewRequest:
    """What is to be shown.

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
        life: Counts how often the run's rows were replaced or went back; later rows of the same
            life come after those of before.
        recent: Steps and the values of the sparklines, one array each, the newest at the end.
    """

    run_id: str
    stats: RunStats
    life: int
    recent: tuple[Curve, ...]
    log: tuple[LogLine, ...]
    samples: tuple[SampleText, ...]


@dataclass(frozen=True)
class LiveFrame:
    """What there was to see at one moment.

    Attributes:
        changed: Whether anything is new since the last poll.
        spent: Seconds of computing that the poll took.
    """

    request: ViewRequest
    runs: tuple[RunCurves, ...]
    focus: Focus | None
    changed: bool
    spent: float


class RunFollower:
    """One run, followed through its files.

    Args:
        folder: The run's; it may vanish and come back.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._series = RunSeries(folder.metrics_path, listener=self._listen)
        self._sample_rows = MetricsReader(folder.samples_path, accept=_is_sample)
        self._samples: deque[tuple[Row, SampleText]] = deque(maxlen=MOST_SAMPLES)
        self._lines: deque[LogLine] = deque(maxlen=MOST_LINES)
        self._had_rows = False
        self._life = 0
        self._kept: tuple[tuple[Quantity, Axis], tuple[Curve, ...]] | None = None
        self._focus: Focus | None = None

    def poll(self) -> bool:
        """Take in what was added; whether anything was."""
        changed = self._series.poll()
        if changed:
            self._kept = None
        self._had_rows |= self._series.rows > 0
        changed |= self._poll_samples()
        if changed:
            self._focus = None
        return changed

    @property
    def problem(self) -> str:
        """Why there is nothing to read, in words."""
        if self._series.rows:
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
            found = tuple(self._series.curve(part.event, part.key, x) for part in quantity.parts)
            self._kept = wanted, found
        return self._kept[1]

    def focus(self) -> Focus:
        """Numbers, samples and log; the same object while nothing was added."""
        if self._focus is None:
            series, resumes = self._series, self._series.resumes
            curves = [series.curve("train", key) for key in _SPARK_KEYS]
            self._focus = Focus(
                self._folder.run_id,
                stats_of(series),
                self._life,
                tuple(Curve(curve.x[-RECENT:], curve.y[-RECENT:]) for curve in curves),
                tuple(self._lines),
                tuple(text for row, text in self._samples if not is_superseded(row, resumes)),
            )
        return self._focus

    def _listen(self, part: Poll) -> None:
        if part.reset:
            self._life += 1
            self._lines.clear()
            text = "metrics.jsonl was cut, replaced or removed; reading it again"
            self._lines.append(LogLine(time.time(), 0, "warning", text))
        for row in part.rows:
            if row["event"] == "train":
                continue
            if row["event"] == "resume":
                self._life += 1
            line = log_line(row)
            if line is not None:
                self._lines.append(line)

    def _poll_samples(self) -> bool:
        changed = False
        for part in self._sample_rows.blocks():
            if part.reset:
                self._samples.clear()
            self._samples.extend((row, _sample(row)) for row in part.rows)
            changed |= part.reset or bool(part.rows)
        return changed


def _is_sample(row: Row) -> bool:
    return is_metrics_row({"event": "sample", **row}) and isinstance(row.get("text"), str)


def _sample(row: Row) -> SampleText:
    return SampleText(
        row["step"],
        visible((as_text(row.get("prompt")) or "")[:_LONGEST_SAMPLE]),
        visible(row["text"][:_LONGEST_SAMPLE]),
    )


@dataclass
class RunFollowers:
    """The runs on show; not safe to be used by two threads at once.

    Args:
        runs_dir: Folder of runs.
    """

    runs_dir: Path
    _followers: dict[str, RunFollower] = field(default_factory=dict)
    _last: ViewRequest | None = None

    @property
    def followed(self) -> Mapping[str, RunFollower]:
        """Who is followed now."""
        return self._followers

    def poll(self, request: ViewRequest) -> LiveFrame:
        """Read what was added to the runs' files; runs that are not asked for are forgotten."""
        began = time.thread_time()
        known = self._followers
        self._followers = {
            run_id: known.get(run_id) or RunFollower(RunFolder(self.runs_dir / run_id))
            for run_id in request.runs
        }
        polled = [follower.poll() for follower in self._followers.values()]
        changed = any(polled) or request != self._last
        self._last = request
        runs = tuple(
            RunCurves(run_id, follower.curves(request.quantity, request.x), follower.problem)
            for run_id, follower in self._followers.items()
        )
        in_focus = self._followers.get(request.focus) if request.focus else None
        focus = in_focus.focus() if in_focus else None
        return LiveFrame(request, runs, focus, changed, time.thread_time() - began)
