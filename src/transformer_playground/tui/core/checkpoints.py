"""Checkpoint choices for sampling, read from sidecar files only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.checkpoints.format import NANOGPT_NAME, CheckpointInfo, Kind
from transformer_playground.errors import PlaygroundError
from transformer_playground.runs.folder import RunFolder, open_run
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.core.workspace import SLOTS

_KINDS: tuple[Kind, ...] = ("best", "last")


@dataclass(frozen=True)
class Choice:
    """A checkpoint to sample from.

    Attributes:
        name: best, last, auto or a file name.
        step: Optimizer steps done, from the sidecar.
        metric: Validation loss in nats per token, from the sidecar.
    """

    name: str
    step: int | None = None
    metric: float | None = None


@dataclass(frozen=True)
class Choices:
    """The checkpoints of a run: best and last first, then the files, newest first."""

    run_id: str
    checkpoints: tuple[Choice, ...] = ()

    def named(self, name: str) -> Choice | None:
        return next((choice for choice in self.checkpoints if choice.name == name), None)


def choices_of(runs_dir: Path, run_id: str) -> Choices:
    """The checkpoints of a run; none if the run cannot be read."""
    try:
        run = open_run(runs_dir, run_id)
        scan = scan_folder(run.checkpoints)
    except PlaygroundError:
        return Choices(run_id)
    found: list[Choice] = []
    for kind in _KINDS:
        preferred = [path for path in scan.preferred(kind) if path in scan.sidecars]
        if preferred:
            found.append(_choice(kind, scan.sidecars[preferred[0]]))
    ordered = [path for path in scan.newest_first() if path in scan.sidecars]
    found += [_choice(path.name, scan.sidecars[path]) for path in ordered]
    if _has_legacy(run):
        found.append(Choice(NANOGPT_NAME))
    return Choices(run_id, tuple(found))


def first_with_checkpoint(runs_dir: Path, run_ids: Iterable[str]) -> Choices | None:
    """The choices of the first run that has any."""
    found = (choices_of(runs_dir, run_id) for run_id in run_ids)
    return next((choices for choices in found if choices.checkpoints), None)


def sources_of(
    choices: Choices, checkpoint: str, chosen: Sequence[str], *, beside: bool
) -> tuple[Source, ...]:
    """Sources of a sampling job.

    Args:
        beside: Whether to sample side by side: the chosen runs, or best and last of one run.
    """
    if not beside:
        return (Source(choices.run_id, checkpoint),)
    if len(chosen) > 1:
        name = checkpoint if checkpoint in _KINDS else "auto"
        return tuple(Source(run_id, name) for run_id in chosen[:SLOTS])
    return tuple(Source(choices.run_id, name) for name in _KINDS if choices.named(name))


def _choice(name: str, info: CheckpointInfo) -> Choice:
    return Choice(name, info.step, info.metric)


def _has_legacy(run: RunFolder) -> bool:
    return any((folder / NANOGPT_NAME).is_file() for folder in (run.checkpoints, run.root))
