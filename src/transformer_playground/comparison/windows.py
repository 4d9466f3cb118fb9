"""Losses of two models on the same windows: measured once, then kept in the folders of the runs."""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from transformer_playground.comparison.compare import seed_groups
from transformer_playground.comparison.compared_run import ComparedRun
from transformer_playground.config.sample import SampleRuntimeConfig
from transformer_playground.errors import PlaygroundError, RunError
from transformer_playground.experiments.dataset_lookup import find_dataset, saved_config
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.window_losses import (
    WindowLosses,
    best_checkpoint,
    read_window_losses,
    write_window_losses,
)

NOT_MEASURED = "cannot be compared by windows"
"""Part of the sentence about a run that could not be evaluated."""


def needs_windows(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """The runs whose windows must be measured to compare them in pairs.

    Seeds of one configuration are compared as seeds, so they need none; nor does a run that no
    other single run can be compared with.
    """
    single = [group[0] for group in seed_groups(runs) if len(group) == 1]
    datasets = Counter(run.fingerprint for run in single)
    return [
        run
        for run in single
        if run.windows is None and run.fingerprint is not None and datasets[run.fingerprint] > 1
    ]


def with_windows(
    runs: Sequence[ComparedRun],
    folders: Sequence[RunFolder],
    experiments_dir: Path | None = None,
    *,
    progress: Callable[[str], object] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[list[ComparedRun], list[str]]:
    """The runs with their windows measured as far as they are needed, and what went wrong.

    Args:
        runs: The runs.
        folders: Their folders, in the same order.
        experiments_dir: See `measure_windows`.
        progress: Called with a sentence before each evaluation.
        cancelled: Called before each batch; true leaves the rest as they are.
    """
    needed = {run.run_id for run in needs_windows(runs)}
    found, problems = [], []
    for run, folder in zip(runs, folders, strict=True):
        losses = run.windows
        if run.run_id in needed and not cancelled():
            progress(f"evaluating {run.run_id} on the whole validation split")
            try:
                losses = measure_windows(folder, experiments_dir, cancelled=cancelled)
            except (PlaygroundError, OSError) as error:
                problems.append(f"{run.run_id} {NOT_MEASURED}: {error}")
        found.append(replace(run, windows=losses))
    return found, problems


def measure_windows(
    run: RunFolder,
    experiments_dir: Path | None = None,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> WindowLosses | None:
    """Measure the best checkpoint of a run on its whole validation split and keep the losses.

    Args:
        run: The run; losses that were kept before are used again.
        experiments_dir: The dataset of the run's experiment in it is tried after the folder that
            the run recorded.
        cancelled: Called before each batch; true ends the evaluation.

    Returns:
        The losses, or None if cancelled.

    Raises:
        PlaygroundError: The run has no intact checkpoint, its dataset is not found, or they
            cannot be read. Losses that cannot be kept are no error.
    """
    kept = read_window_losses(run)
    if kept is not None:
        return kept
    # A comparison loads no torch until it evaluates.
    from transformer_playground.evaluation.whole_split import split_losses
    from transformer_playground.runs.generation import load_model

    record = read_run_config(run)
    lookup = find_dataset(record, stated=None, experiments_dir=experiments_dir)
    if lookup.dataset is None:
        raise RunError(f"The validation split of '{run.run_id}' is missing: {lookup.problem}")
    config = saved_config(record)
    path, digest = _intact(run)
    model, _ = load_model(path, SampleRuntimeConfig())
    found = split_losses(model, lookup.dataset, config, cancelled=cancelled)
    if found is None:
        return None
    losses = WindowLosses(found.sums, found.targets, lookup.dataset.fingerprint, digest)
    # In a folder that is read-only the losses serve this once.
    with contextlib.suppress(OSError, PlaygroundError):
        write_window_losses(run, losses)
    return losses


def _intact(run: RunFolder) -> tuple[Path, str]:
    """The best checkpoint, after its file was compared with its sidecar."""
    from transformer_playground.checkpoints.discovery import scan_folder

    found = best_checkpoint(run)
    if found is None:
        raise RunError(f"run '{run.run_id}' has no checkpoint to evaluate.")
    info = scan_folder(run.checkpoints).check(found[0])
    return info.path, info.sha256
