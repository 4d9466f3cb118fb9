"""Runs of a data set, measured on its whole validation split, and how sure the best one is."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformer_playground.comparison.compare import seed_groups
from transformer_playground.comparison.compared_run import ComparedRun, read_run
from transformer_playground.comparison.estimates import Estimate, estimate
from transformer_playground.comparison.significance import (
    Test,
    against_spread,
    paired,
    seed_spread,
    welch,
)
from transformer_playground.comparison.verdict import corrected
from transformer_playground.comparison.windows import measure_windows
from transformer_playground.errors import PlaygroundError
from transformer_playground.jsonvalues import as_number
from transformer_playground.records.published import DatasetRecords, Track
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.listing import list_runs

# The last evaluation and checkpoint come after the time is over.
_GRACE = 1.02


@dataclass(frozen=True)
class Entry:
    """One run, or several of the same configuration with different seeds.

    Attributes:
        loss: On the whole validation split, in nats per token.
        minutes: Training time of the longest run.
    """

    runs: tuple[ComparedRun, ...]
    loss: Estimate
    parameters: int | None
    minutes: float

    @property
    def experiment(self) -> str:
        """Experiment of its runs."""
        return self.runs[0].experiment

    @property
    def context(self) -> int | None:
        """Length of the windows of training, and so of the evaluation, in tokens."""
        settings = self.runs[0].settings
        stated = settings.get("train.data.block_size") or settings.get("model.block_size")
        return stated if isinstance(stated, int) else None


@dataclass(frozen=True)
class Standing:
    """Runs of a data set, best first.

    Attributes:
        unmeasured: Finished runs whose losses are not known.
        test: The best entry against the next; None without a test.
    """

    entries: tuple[Entry, ...]
    unmeasured: tuple[str, ...]
    test: Test | None
    problems: tuple[str, ...] = ()

    @property
    def p_value(self) -> float | None:
        """Of the test, times the number of entries that the best was chosen from, less one."""
        if self.test is None:
            return None
        return corrected(self.test.p_value, max(1, len(self.entries) - 1))


def standing_of(
    records: DatasetRecords,
    runs_dir: Path,
    experiments_dir: Path,
    *,
    measure: bool = False,
    track: Track | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Standing:
    """The finished runs of a data set, with the losses that `tp compare --paired` keeps.

    Args:
        measure: Whether runs that were not measured yet are evaluated now.
        track: Only runs within its limits.
        progress: Called with a sentence before each evaluation.
    """
    found = [run for run in _runs_of(records, runs_dir) if track is None or is_within(run, track)]
    measured, unmeasured, problems = [], [], []
    for run in found:
        losses = run.windows
        if losses is None and measure:
            progress(f"evaluating {run.run_id} on the whole validation split")
            try:
                losses = measure_windows(RunFolder(runs_dir / run.run_id), experiments_dir)
            except (PlaygroundError, OSError) as error:
                problems.append(f"{run.run_id} cannot be measured: {error}")
        if losses is None:
            unmeasured.append(run.run_id)
        else:
            measured.append(replace(run, windows=losses))
    entries = sorted(map(_entry, seed_groups(measured)), key=lambda each: each.loss.mean or 0.0)
    test = _test(entries) if len(entries) > 1 else None
    return Standing(tuple(entries), tuple(unmeasured), test, tuple(problems))


def is_within(run: ComparedRun, track: Track) -> bool:
    """Whether a run kept the limits of a track, as far as its records tell."""
    threads = as_number(_number(run.environment.get("threads")))
    seconds = run.summary.wall_time_s
    return (
        0 < seconds <= 60 * track.minutes * _GRACE
        and threads is not None
        and threads <= track.threads
        and run.environment.get("device") == "cpu"
    )


def loss_of(run: ComparedRun) -> float:
    """Mean loss of a measured run over all targets."""
    assert run.windows is not None
    return float(run.windows.sums.sum() / max(1, run.windows.targets.sum()))


def _runs_of(records: DatasetRecords, runs_dir: Path) -> list[ComparedRun]:
    found = []
    for row in list_runs(runs_dir):
        if row.state != "finished":
            continue
        # A damaged run is not one of a data set.
        with contextlib.suppress(PlaygroundError):
            run = read_run(RunFolder(runs_dir / row.run_id))
            if run.fingerprint is not None and run.fingerprint == records.fingerprint:
                found.append(run)
    return found


def _entry(runs: Sequence[ComparedRun]) -> Entry:
    parameters = runs[0].metrics.get("parameters")
    return Entry(
        tuple(runs),
        estimate(map(loss_of, runs)),
        None if parameters is None else round(parameters),
        max(run.summary.wall_time_s for run in runs) / 60,
    )


def _test(entries: Sequence[Entry]) -> Test | None:
    """The best entry against the next: by seeds, by windows, or by the seeds of the others."""
    best, second = entries[0], entries[1]
    if (by_seeds := welch(second.loss, best.loss)) is not None:
        return by_seeds
    if len(best.runs) == len(second.runs) == 1:
        one, two = second.runs[0].windows, best.runs[0].windows
        if one is not None and two is not None and one.fits(two):
            return paired(one.sums, two.sums, one.targets)
    spread = seed_spread(each.loss for each in entries)
    return None if spread is None else against_spread(second.loss, best.loss, spread)


def _number(text: Any) -> float | None:
    return float(text) if isinstance(text, str) and text.isdigit() else None
