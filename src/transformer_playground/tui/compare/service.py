"""Chosen runs read and compared in a worker thread, as often as their files change."""

import bisect
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformer_playground.comparison.compare import Comparison, compare_runs
from transformer_playground.comparison.compared_run import ComparedRun, read_run
from transformer_playground.errors import PlaygroundError
from transformer_playground.jsonvalues import as_int, as_text
from transformer_playground.runs.folder import RunFolder, open_run
from transformer_playground.runs.metrics import read_samples
from transformer_playground.runs.series import Axis, Curve, RunSeries


@dataclass(frozen=True)
class StepSamples:
    """The samples of a run at one training step; untrusted text, each with its prompt in front."""

    step: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class SampleTrack:
    """The samples of one run, in order of step."""

    drawn: tuple[StepSamples, ...] = ()

    def at(self, step: int) -> StepSamples | None:
        """The newest samples that are not newer than `step`."""
        index = bisect.bisect_right(self.drawn, step, key=lambda each: each.step)
        return self.drawn[index - 1] if index else None


def read_track(run: RunFolder, resumes: Sequence[tuple[float, float]] | None = None) -> SampleTrack:
    """Every sample of a run that has a step and a text.

    Args:
        run: The run.
        resumes: Step and time of each of its resumes, where they are known already.
    """
    texts: dict[int, list[str]] = {}
    for row in read_samples(run, resumes):
        step, text = as_int(row.get("step")), as_text(row.get("text"))
        if step is not None and text is not None:
            texts.setdefault(step, []).append((as_text(row.get("prompt")) or "") + text)
    return SampleTrack(tuple(StepSamples(step, tuple(texts[step])) for step in sorted(texts)))


def steps_of(tracks: Iterable[SampleTrack]) -> tuple[int, ...]:
    """Every step at which some run drew, in order."""
    return tuple(sorted({drawn.step for track in tracks for drawn in track.drawn}))


def moved(steps: tuple[int, ...], step: int | None, by: int) -> int | None:
    """The step `by` further on in `steps`, at most the last one; None stands for the last one."""
    if not steps:
        return None
    here = len(steps) - 1 if step is None else bisect.bisect_right(steps, step) - 1
    return steps[min(max(0, here + by), len(steps) - 1)]


# Reading again and again may take this share of one core at most: training needs the rest.
_LARGEST_SHARE = 0.1
_Stamp = tuple[object, ...]


@dataclass(frozen=True)
class Request:
    """What is to be compared.

    Attributes:
        run_ids: The runs, the baseline first.
        group: Average runs that differ in nothing but their seed.
        all_settings: Name every setting, not only those that differ.
        axis: What the curves lie along.
        pinned: The run that was pinned as the baseline, if one was.
    """

    run_ids: tuple[str, ...]
    group: bool = True
    all_settings: bool = False
    axis: Axis = "step"
    pinned: str | None = None


@dataclass(frozen=True)
class Compared:
    """What became of a request; all text in it is untrusted.

    Attributes:
        request: The request.
        version: Grows with each change of the runs' files.
        comparison: None while fewer than two runs can be read.
        problems: Run id -> why it cannot be read, in one sentence.
        curves: Run id -> validation loss.
        tracks: Run id -> samples drawn while it trained.
    """

    request: Request
    version: int
    comparison: Comparison | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    tracks: Mapping[str, SampleTrack] = field(default_factory=dict)


@dataclass
class _Known:
    """A run as it was read last; a series is kept so that only what was added is read."""

    series: RunSeries
    stamp: _Stamp = ()
    facts: ComparedRun | None = None
    problem: str | None = None
    track: SampleTrack = field(default_factory=SampleTrack)


class Comparer:
    """Reads runs and compares them; one thread at a time calls `look`.

    Args:
        runs_dir: Folder of runs.
    """

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._known: dict[str, _Known] = {}
        self._version = 0
        self._rest_until = 0.0

    def look(
        self, request: Request, states: Mapping[str, str], shown: Compared | None = None
    ) -> Compared | None:
        """Compare; None if `shown` is what would come of it.

        Files that change all the time are read again after a pause, which is longer the longer
        reading takes.

        Args:
            request: What to compare.
            states: Run id -> its state; a run whose process has died changes no file.
            shown: What is on show.
        """
        is_new = shown is None or shown.request != request or shown.version != self._version
        if not is_new and time.monotonic() < self._rest_until:
            return None
        began = time.thread_time()
        self._known = {
            run_id: known for run_id, known in self._known.items() if run_id in request.run_ids
        }
        changed = [self._read(run_id, states.get(run_id)) for run_id in request.run_ids]
        spent = time.thread_time() - began
        self._rest_until = time.monotonic() + spent / _LARGEST_SHARE
        self._version += any(changed)
        return self._compared(request) if is_new or any(changed) else None

    def _compared(self, request: Request) -> Compared:
        known = {run_id: self._known[run_id] for run_id in request.run_ids}
        facts = [each.facts for each in known.values() if each.facts is not None]
        comparison = None
        if len(facts) > 1:
            comparison = compare_runs(facts, group=request.group, all_settings=request.all_settings)
        return Compared(
            request=request,
            version=self._version,
            comparison=comparison,
            problems={key: each.problem for key, each in known.items() if each.problem},
            curves={
                key: each.series.curve("eval", "val_loss", request.axis)
                for key, each in known.items()
                if each.facts is not None
            },
            tracks={key: each.track for key, each in known.items() if each.facts is not None},
        )

    def _read(self, run_id: str, state: str | None) -> bool:
        """Read a run anew if it has changed; whether it has."""
        folder = RunFolder(self._runs_dir / run_id)
        known = self._known.setdefault(run_id, _Known(RunSeries(folder.metrics_path)))
        stamp = (state, *_stamp(folder))
        if stamp == known.stamp:
            return False
        known.stamp, known.facts, known.problem = stamp, None, None
        try:
            run = open_run(self._runs_dir, run_id)
            known.facts = read_run(run, known.series)
            known.track = read_track(run, known.series.resumes)
        except PlaygroundError as error:
            known.problem = str(error)
        except OSError as error:
            known.problem = f"run '{run_id}' cannot be read: {error.strerror or error}."
        except Exception as error:  # noqa: BLE001 - the console outlives any run folder
            known.problem = f"run '{run_id}' cannot be read: {type(error).__name__}: {error}"
        return True


def _stamp(run: RunFolder) -> _Stamp:
    """Equal as long as nothing of a run has changed that a comparison shows."""
    files = (run.config_path, run.metrics_path, run.samples_path, run.tokenizer)
    return tuple(map(_identity, files))


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
