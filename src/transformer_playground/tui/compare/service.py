"""Comparison service: reads runs in a worker thread and compares them when their files change."""

import bisect
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformer_playground.comparison.compare import Comparison, compare_runs
from transformer_playground.comparison.compared_run import ComparedRun, read_run
from transformer_playground.comparison.render import as_document, csv_text, markdown_text
from transformer_playground.comparison.windows import NOT_MEASURED
from transformer_playground.errors import PlaygroundError
from transformer_playground.files import replace_json, replace_text, timestamped, write_new_file
from transformer_playground.jsonvalues import as_text
from transformer_playground.plots.loss_curves import PlotRequest
from transformer_playground.plots.loss_plot import plot_loss
from transformer_playground.runs.fields import Parent
from transformer_playground.runs.folder import RunFolder, open_run
from transformer_playground.runs.lineage import Lineage, curve_up_to, seconds_at
from transformer_playground.runs.metrics import Axis, read_samples
from transformer_playground.runs.series import Curve, RunSeries
from transformer_playground.runs.thinning import Thinning
from transformer_playground.tui.core.tp_process import TpProcess


@dataclass(frozen=True)
class StepSamples:
    """The samples of a run at one training step: untrusted text with the prompt at the start."""

    step: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class SampleTrack:
    """The samples of one run, in order of step."""

    drawn: tuple[StepSamples, ...] = ()

    def at(self, step: int) -> StepSamples | None:
        """The newest samples up to `step`."""
        index = bisect.bisect_right(self.drawn, step, key=lambda each: each.step)
        return self.drawn[index - 1] if index else None


def read_track(run: RunFolder) -> SampleTrack:
    """The samples of a run."""
    texts: dict[int, list[str]] = {}
    for row in read_samples(run):
        text = (as_text(row.get("prompt")) or "") + row["text"]
        texts.setdefault(row["step"], []).append(text)
    return SampleTrack(tuple(StepSamples(step, tuple(texts[step])) for step in sorted(texts)))


def steps_of(tracks: Iterable[SampleTrack]) -> tuple[int, ...]:
    """Sorted steps at which at least one run drew samples."""
    return tuple(sorted({drawn.step for track in tracks for drawn in track.drawn}))


def move_step(steps: tuple[int, ...], step: int | None, by: int) -> int | None:
    """The step `by` positions after `step`, within the range of `steps`; None is the last step."""
    if not steps:
        return None
    here = len(steps) - 1 if step is None else bisect.bisect_right(steps, step) - 1
    return steps[min(max(0, here + by), len(steps) - 1)]


# Reading takes at most this share of one core, so that training keeps the rest.
_MAX_SHARE = 0.1
_Signature = tuple[object, ...]


@dataclass(frozen=True)
class Request:
    """Runs and options of a comparison.

    Attributes:
        run_ids: The runs, the baseline first.
        group: Average runs that differ only in their seed.
        pinned: The run set as the baseline by the user, if any.
        lineages: Branches among the runs, and what they continue.
    """

    run_ids: tuple[str, ...]
    group: bool = True
    all_settings: bool = False
    axis: Axis = "step"
    pinned: str | None = None
    lineages: tuple[Lineage, ...] = ()


@dataclass(frozen=True)
class Compared:
    """Result of a request; all text is untrusted.

    Attributes:
        version: Increases with each change of the runs' files.
        comparison: None while fewer than two runs can be read.
        problems: Run id -> why it cannot be read.
        curves: Run id -> validation loss.
        before: Run id of a branch -> validation losses of the runs that it continues, up to where
            it left them.
        tracks: Run id -> samples drawn during training.
    """

    request: Request
    version: int
    comparison: Comparison | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    before: Mapping[str, tuple[Curve, ...]] = field(default_factory=dict)
    tracks: Mapping[str, SampleTrack] = field(default_factory=dict)


@dataclass
class _CachedRun:
    """A run as it was last read; the series is kept so that only new rows are read."""

    series: RunSeries
    signature: _Signature = ()
    facts: ComparedRun | None = None
    problem: str | None = None
    track: SampleTrack = field(default_factory=SampleTrack)


class Comparer:
    """Reads and compares runs; call `update` from one thread at a time."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._cache: dict[str, _CachedRun] = {}
        self._version = 0
        self._next_read = 0.0

    def update(
        self, request: Request, states: Mapping[str, str], shown: Compared | None = None
    ) -> Compared | None:
        """Compare; None if the result would equal `shown`.

        The pause before files are read again is proportional to the time that reading takes.

        Args:
            states: Run id -> state; a run whose process died changes state but no file.
        """
        is_new = shown is None or shown.request != request or shown.version != self._version
        if not is_new and time.monotonic() < self._next_read:
            return None
        began = time.thread_time()
        parents = {each.run_id for _, parents in request.lineages for each in parents}
        wanted = {*request.run_ids, *parents}
        self._cache = {run_id: cached for run_id, cached in self._cache.items() if run_id in wanted}
        changed = [self._read(run_id, states.get(run_id)) for run_id in request.run_ids]
        changed += [self._poll(run_id) for run_id in parents.difference(request.run_ids)]
        spent = time.thread_time() - began
        self._next_read = time.monotonic() + spent / _MAX_SHARE
        self._version += any(changed)
        return self._compared(request) if is_new or any(changed) else None

    def _compared(self, request: Request) -> Compared:
        cached = {run_id: self._cache[run_id] for run_id in request.run_ids}
        facts = [each.facts for each in cached.values() if each.facts is not None]
        comparison = None
        if len(facts) > 1:
            comparison = compare_runs(facts, group=request.group, all_settings=request.all_settings)
        return Compared(
            request=request,
            version=self._version,
            comparison=comparison,
            problems={key: each.problem for key, each in cached.items() if each.problem},
            curves={
                key: each.series.curve("eval", "val_loss", request.axis)
                for key, each in cached.items()
                if each.facts is not None
            },
            before={
                branch: tuple(self._earlier(parents, request.axis))
                for branch, parents in request.lineages
            },
            tracks={key: each.track for key, each in cached.items() if each.facts is not None},
        )

    def _earlier(self, parents: Sequence[Parent], axis: Axis) -> Iterator[Curve]:
        before = 0.0
        for parent in parents:
            series, step = self._cache[parent.run_id].series, parent.step or 0
            if axis == "time":
                before += seconds_at(series, step)
            losses = series.curve("eval", "val_loss", axis)
            yield curve_up_to(losses, series.curve("eval", "val_loss"), step, before)

    def _cached(self, folder: RunFolder) -> _CachedRun:
        series = RunSeries(folder.metrics_path, thinning=Thinning())
        return self._cache.setdefault(folder.run_id, _CachedRun(series))

    def _poll(self, run_id: str) -> bool:
        """Read only the metrics of a run that is not compared."""
        folder = RunFolder(self._runs_dir / run_id)
        cached = self._cached(folder)
        signature = (_file_signature(folder.metrics_path),)
        is_new = signature != cached.signature
        cached.signature = signature
        if is_new:
            cached.series.poll()
        return is_new

    def _read(self, run_id: str, state: str | None) -> bool:
        folder = RunFolder(self._runs_dir / run_id)
        cached = self._cached(folder)
        signature = (state, *_signature(folder))
        if signature == cached.signature:
            return False
        cached.signature, cached.facts, cached.problem = signature, None, None
        try:
            run = open_run(self._runs_dir, run_id)
            cached.facts = read_run(run, cached.series)
            cached.track = read_track(run)
        except PlaygroundError as error:
            cached.problem = str(error)
        except OSError as error:
            cached.problem = f"run '{run_id}' cannot be read: {error.strerror or error}."
        except Exception as error:  # noqa: BLE001 - the console outlives any run folder
            cached.problem = f"run '{run_id}' cannot be read: {type(error).__name__}: {error}"
        return True


def _signature(run: RunFolder) -> _Signature:
    files = (
        *(run.config_path, run.metrics_path, run.samples_path, run.tokenizer),
        *(run.checkpoints, run.evaluations),
    )
    return tuple(map(_file_signature, files))


def _file_signature(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns


class PairedTest:
    """A child process that evaluates runs on the whole validation split; `cancel` ends it.

    The losses are kept in the folders of the runs, where the next comparison finds them.
    """

    def __init__(self, experiments_dir: Path, runs_dir: Path, run_ids: Sequence[str]) -> None:
        folders = ["--experiments-dir", str(experiments_dir), "--runs-dir", str(runs_dir)]
        options = ["--paired", "--n-samples", "0", "--json", *folders]
        self._process = TpProcess(["compare", "--run-ids", ",".join(run_ids), *options])

    def run(self) -> str | None:
        """Why runs could not be evaluated; None if they were, or if it was cancelled. Blocks."""
        problems: list[str] = []

        def hear(line: str) -> None:
            if NOT_MEASURED in line:
                problems.append(line.removeprefix("note: "))

        try:
            ended = self._process.run(hear)
        except OSError as error:
            return f"The evaluation cannot be started: {error.strerror or error}."
        if ended is None or self._process.is_stopped:
            return None
        if ended.code:
            return ended.problem or "The runs could not be evaluated."
        return " ".join(problems) or None

    def cancel(self) -> None:
        """End the process; what is already measured is kept."""
        self._process.interrupt()


FORMATS: Mapping[str, str] = {
    "csv": "CSV, one row per run at full precision",
    "json": "JSON, as printed by tp compare --json",
    "md": "Markdown, the table",
    "svg": "SVG, a plot of the loss curves",
}


@dataclass(frozen=True)
class PlotStyle:
    """Options of the curves on screen, for an exported plot."""

    axis: Axis = "step"
    log_y: bool = False
    smoothing: float = 0.0


def export_comparison(
    kind: str, comparison: Comparison, runs: Sequence[RunFolder], style: PlotStyle, folder: Path
) -> Path:
    """Write a comparison to a new file of `folder`.

    Args:
        kind: A key of `FORMATS`.

    Raises:
        ExportError: OSError while writing.
        RunError: There is no loss to draw.
    """

    def write(path: Path) -> None:
        match kind:
            case "csv":
                replace_text(path, csv_text(comparison))
            case "json":
                replace_json(path, as_document(comparison))
            case "md":
                replace_text(path, markdown_text(comparison))
            case _:
                request = PlotRequest(path, log_y=style.log_y, smooth=style.smoothing, x=style.axis)
                plot_loss(runs, request)

    return write_new_file(folder, timestamped("comparison"), kind, write)
