"""Run follower: reads the rows that are added to a run's files, whichever process trains it.

`RunFollowers.poll` blocks on files, so it runs in a thread; its results never change.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transformer_playground.evaluation.baseline import NGramBaseline
from transformer_playground.jsonvalues import as_text
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.lineage import Lineage, curve_up_to, seconds_at
from transformer_playground.runs.metrics import (
    Axis,
    MetricsReader,
    Poll,
    SampleHistory,
    is_sample_row,
)
from transformer_playground.runs.series import Curve, RunSeries
from transformer_playground.runs.status import Writer, read_writer
from transformer_playground.runs.thinning import Thinning
from transformer_playground.terminal import visible
from transformer_playground.tui.live.baseline import BaselineFile
from transformer_playground.tui.live.marks import EventMark, MarkedSteps
from transformer_playground.tui.live.quantities import CurveSpec, Quantity
from transformer_playground.tui.live.stats import LogLine, RunStats, log_line, stats_of

MAX_LOG_LINES = 500
MAX_SAMPLES = 200
MAX_MARKS = 1_000
_MAX_SAMPLE_CHARS = 20_000


@dataclass(frozen=True)
class ViewRequest:
    """What a view shows: the runs in the chart, one of which has the focus.

    Attributes:
        beside: Further quantities of the run in focus.
        lineages: Branches among the runs, and what they continue.
        has_all_beside: Whether the further quantities of all runs are wanted.
    """

    runs: tuple[str, ...]
    focus: str | None
    quantity: Quantity
    x: Axis = "step"
    beside: tuple[Quantity, ...] = ()
    lineages: tuple[Lineage, ...] = ()
    has_all_beside: bool = False


@dataclass(frozen=True)
class SampleText:
    """A sample drawn during training; both texts are safe to print."""

    step: int
    prompt: str
    text: str


@dataclass(frozen=True)
class RunCurves:
    """The curves of one run.

    Attributes:
        curves: One for each curve of the quantity; the same objects while there are no new rows.
        problem: Why there is nothing to read.
        beside: Curves of each further quantity, if the request has them of all runs.
    """

    run_id: str
    curves: tuple[Curve, ...]
    problem: str = ""
    beside: tuple[tuple[Curve, ...], ...] = ()


@dataclass(frozen=True)
class EarlierCurves:
    """The curves of a run up to the step where a branch left it.

    Attributes:
        branch: The run that continues it, perhaps through others.
        curves: One for each curve of the quantity; on the axis of time they end where the branch
            begins, at 0.
        beside: Those of each quantity beside the chart, if the branch has the focus.
    """

    branch: str
    run_id: str
    curves: tuple[Curve, ...]
    beside: tuple[tuple[Curve, ...], ...] = ()


@dataclass(frozen=True)
class FocusedRun:
    """Numbers, samples and log of the run with the focus.

    Attributes:
        beside: Curves of each quantity of the request beside the chart.
        marks: Events on the x axis of the request.
    """

    run_id: str
    stats: RunStats
    beside: tuple[tuple[Curve, ...], ...]
    marks: tuple[EventMark, ...]
    log: tuple[LogLine, ...]
    samples: tuple[SampleText, ...]


@dataclass(frozen=True)
class LiveFrame:
    """Result of a poll.

    Attributes:
        writer: The process that writes the run in focus; None if it does not say.
        before: What branches continue.
        baseline: N-grams of the dataset of all these runs, if they were counted.
        keys: Event and key of each number in the rows of the runs.
        spent: CPU seconds of the poll.
    """

    request: ViewRequest
    runs: tuple[RunCurves, ...]
    focus: FocusedRun | None
    writer: Writer | None
    changed: bool
    spent: float
    before: tuple[EarlierCurves, ...] = ()
    baseline: NGramBaseline | None = None
    keys: tuple[tuple[str, str], ...] = ()


class RunFollower:
    """Follows one run through its files; the folder may be removed and restored."""

    def __init__(self, folder: RunFolder, experiments_dir: Path | None = None) -> None:
        self._folder = folder
        self.baseline = BaselineFile(folder, experiments_dir)
        self._series = RunSeries(folder.metrics_path, listener=self._on_rows, thinning=Thinning())
        self._sample_rows = MetricsReader(folder.samples_path, accept=is_sample_row)
        self._samples: SampleHistory[SampleText] = SampleHistory(MAX_SAMPLES)
        self._lines: deque[LogLine] = deque(maxlen=MAX_LOG_LINES)
        self._had_folder = self._had_rows = False
        self._marks = MarkedSteps(MAX_MARKS)
        self._curves: dict[tuple[Quantity, Axis], tuple[Curve, ...]] = {}
        self._parts: dict[tuple[Quantity, Axis, int, float], tuple[Curve, ...]] = {}
        self._numbers: tuple[tuple[str, str], ...] | None = None
        self._focused: tuple[ViewRequest, FocusedRun] | None = None

    def poll(self) -> bool:
        """Read new rows; returns whether there were any."""
        changed = self._series.poll()
        if changed:
            self._curves.clear()
            self._parts.clear()
            self._numbers = None
        self._had_folder = self._had_folder or self._folder.root.is_dir()
        self._had_rows |= self._series.rows > 0
        changed |= self._poll_samples()
        if changed:
            self._focused = None
        return changed

    @property
    def problem(self) -> str:
        if self._series.rows:
            return ""
        # A run that waits or is being started has no folder yet.
        if self._had_folder and not self._folder.root.is_dir():
            return "its folder was removed"
        if self._had_rows:
            return "metrics.jsonl was removed or emptied"
        return ""

    def curves(self, quantity: Quantity, x: Axis) -> tuple[Curve, ...]:
        """The curves of a quantity; the same objects while there are no new rows."""
        found = self._curves.get((quantity, x))
        if found is None:
            found = tuple(self._curve(each, quantity.scale, x) for each in quantity.curves)
            self._curves[quantity, x] = found
        return found

    def numbers(self) -> tuple[tuple[str, str], ...]:
        """Event and key of each number in its rows."""
        if self._numbers is None:
            series = self._series
            self._numbers = tuple(
                (event, key) for event in series.events for key in series.keys(event)
            )
        return self._numbers

    def seconds_at(self, step: int) -> float:
        """Seconds for which the run had trained at a step."""
        return seconds_at(self._series, step)

    def curves_up_to(
        self, step: int, quantity: Quantity, x: Axis, before: float = 0.0
    ) -> tuple[Curve, ...]:
        """The curves up to a step; the same objects while there are no new rows.

        Args:
            step: The last step.
            quantity: What the curves show.
            x: The axis.
            before: Subtracted from the positions.
        """
        key = quantity, x, step, before
        if key not in self._parts:
            pairs = zip(self.curves(quantity, x), self.curves(quantity, "step"), strict=True)
            self._parts[key] = tuple(
                curve_up_to(curve, steps, step, before) for curve, steps in pairs
            )
        return self._parts[key]

    def _curve(self, spec: CurveSpec, scale: float, x: Axis) -> Curve:
        curve = self._series.curve(spec.event, spec.key, x)
        return curve if scale == 1.0 else curve.scaled(scale)

    def focused(self, request: ViewRequest) -> FocusedRun:
        """Numbers, samples and log; the same object while there are no new rows."""
        if self._focused is None or self._focused[0] != request:
            series = self._series
            stats = stats_of(series, self.baseline.found)
            positions = series.curve("train", "step", request.x)
            found = FocusedRun(
                self._folder.run_id,
                stats,
                tuple(self.curves(each, request.x) for each in request.beside),
                self._marks.on_axis(
                    positions,
                    [sample.step for sample in self._samples.samples],
                    stats.summary.best_step,
                ),
                tuple(self._lines),
                self._samples.samples,
            )
            self._focused = request, found
        return self._focused[1]

    def poll_baseline(self) -> bool:
        """Look for n-grams that were counted since; returns whether there were any."""
        if self._series.rows and self.baseline.poll():
            self._focused = None
            return True
        return False

    def writer(self) -> Writer | None:
        """The process that writes the run."""
        return read_writer(self._folder)

    def _on_rows(self, part: Poll) -> None:
        if part.reset:
            self._marks.clear()
            self._lines.clear()
            text = "metrics.jsonl was truncated, replaced or removed; reading it again"
            self._lines.append(LogLine(time.time(), 0, "warning", text))
        for row in part.rows:
            if row["event"] == "train":
                continue
            self._marks.add(row)
            line = log_line(row)
            if line is not None:
                self._lines.append(line)

    def _poll_samples(self) -> bool:
        changed = False
        for part in self._sample_rows.blocks():
            if part.reset:
                self._samples.clear()
            for row in part.rows:
                if row.get("event") == "resume":
                    self._samples.resume(row["step"])
                else:
                    self._samples.add(row["step"], _sample(row))
            changed |= part.reset or bool(part.rows)
        return changed


def _sample(row: Row) -> SampleText:
    return SampleText(
        row["step"],
        visible((as_text(row.get("prompt")) or "")[:_MAX_SAMPLE_CHARS]),
        visible(row["text"][:_MAX_SAMPLE_CHARS]),
    )


@dataclass
class RunFollowers:
    """The followers of all runs in the chart and their ancestors; not thread-safe."""

    runs_dir: Path
    experiments_dir: Path | None = None
    followed: dict[str, RunFollower] = field(default_factory=dict)
    _last: ViewRequest | None = None

    def poll(self, request: ViewRequest) -> LiveFrame:
        """Read new rows of the requested runs and drop the followers of all others."""
        began = time.thread_time()
        known = self.followed
        self.followed = {
            run_id: known.get(run_id)
            or RunFollower(RunFolder(self.runs_dir / run_id), self.experiments_dir)
            for run_id in (
                *request.runs,
                *(parent.run_id for _, parents in request.lineages for parent in parents),
            )
        }
        polled = [follower.poll() for follower in self.followed.values()]
        focus = self.followed.get(request.focus) if request.focus else None
        has_baseline = focus is not None and focus.poll_baseline()
        changed = any(polled) or has_baseline or request != self._last
        self._last = request
        shown = {run_id: self.followed[run_id] for run_id in request.runs}
        beside = request.beside if request.has_all_beside else ()
        runs = tuple(
            RunCurves(
                run_id,
                follower.curves(request.quantity, request.x),
                follower.problem,
                tuple(follower.curves(each, request.x) for each in beside),
            )
            for run_id, follower in shown.items()
        )
        keys = dict.fromkeys(key for follower in shown.values() for key in follower.numbers())
        before = tuple(self._earlier(request))
        focused = focus.focused(request) if focus else None
        writer = focus.writer() if focus else None
        spent = time.thread_time() - began
        baseline = self._baseline(request)
        return LiveFrame(
            request, runs, focused, writer, changed, spent, before, baseline, tuple(keys)
        )

    def _earlier(self, request: ViewRequest) -> Iterator[EarlierCurves]:
        for branch, parents in request.lineages:
            before = 0.0
            for parent in parents:
                step, follower = parent.step or 0, self.followed[parent.run_id]
                if request.x == "time":
                    before += follower.seconds_at(step)
                beside = request.beside if branch == request.focus else ()
                yield EarlierCurves(
                    branch,
                    parent.run_id,
                    follower.curves_up_to(step, request.quantity, request.x, before),
                    tuple(follower.curves_up_to(step, each, request.x, before) for each in beside),
                )

    def _baseline(self, request: ViewRequest) -> NGramBaseline | None:
        """The baseline of the run in focus, if all runs of the chart have the same dataset."""
        followed = [self.followed[run_id].baseline for run_id in request.runs]
        focus = self.followed.get(request.focus) if request.focus else None
        if focus is None or focus.baseline.found is None:
            return None
        same = all(each.fingerprint == focus.baseline.fingerprint for each in followed)
        return focus.baseline.found if same else None
