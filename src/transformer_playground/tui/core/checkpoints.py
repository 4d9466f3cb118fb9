"""Checkpoint choices for sampling: files with a sidecar, of which only the sidecar is read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.checkpoints.format import NANOGPT_NAME, CheckpointInfo, Kind
from transformer_playground.errors import PlaygroundError
from transformer_playground.runs.folder import RunFolder, open_run
from transformer_playground.tui.core.sampling import MOST_SOURCES, Source

_KINDS: tuple[Kind, ...] = ("best", "last")


@dataclass(frozen=True)
class Choice:
    """A checkpoint to sample from: one file, however many names it has.

    Attributes:
        names: best or last or both, then its file names.
        step: Optimizer steps done, from the sidecar.
        metric: Validation loss in nats per token, from the sidecar.
    """

    names: tuple[str, ...]
    step: int | None = None
    metric: float | None = None

    @property
    def name(self) -> str:
        """The name to load it by; "best" and "last" go on naming the newest such checkpoint."""
        return self.names[0]

    @property
    def roles(self) -> tuple[str, ...]:
        """best, last or both; empty for an older checkpoint."""
        return tuple(name for name in self.names if name in _KINDS)


@dataclass(frozen=True)
class Choices:
    """The checkpoints of a run: best and last first, then the others, newest first."""

    run_id: str
    checkpoints: tuple[Choice, ...] = ()

    def named(self, name: str) -> Choice | None:
        return next((choice for choice in self.checkpoints if name in choice.names), None)


def choices_of(runs_dir: Path, run_id: str) -> Choices:
    """The checkpoints of a run; none if the run cannot be read."""
    try:
        run = open_run(runs_dir, run_id)
        scan = scan_folder(run.checkpoints)
    except PlaygroundError:
        return Choices(run_id)
    there = {path: info for path, info in scan.sidecars.items() if path.is_file()}
    named: list[tuple[str, CheckpointInfo]] = []
    for kind in _KINDS:
        preferred = [path for path in scan.preferred(kind) if path in there]
        if preferred:
            named.append((kind, there[preferred[0]]))
    ordered = [path for path in scan.newest_first() if path in there]
    named += [(path.name, there[path]) for path in ordered]
    # Pointers, and files of both kinds written in one step, have the same content.
    files: dict[str, list[tuple[str, CheckpointInfo]]] = {}
    for name, info in named:
        files.setdefault(info.sha256, []).append((name, info))
    found = [_choice(same) for same in files.values()]
    if _has_legacy(run):
        found.append(Choice((NANOGPT_NAME,)))
    return Choices(run_id, tuple(found))


def newest_step(runs_dir: Path, run_id: str) -> int | None:
    """Step of the newest checkpoint of a run; None if it has none."""
    steps = [choice.step for choice in choices_of(runs_dir, run_id).checkpoints]
    return max((step for step in steps if step is not None), default=None)


def first_with_checkpoint(runs_dir: Path, run_ids: Iterable[str]) -> Choices | None:
    """The choices of the first run that has any."""
    found = (choices_of(runs_dir, run_id) for run_id in run_ids)
    return next((choices for choices in found if choices.checkpoints), None)


def sources_of(choices: Choices, checkpoints: Sequence[str]) -> tuple[Source, ...]:
    """Sources of a sampling job for checkpoints of one run, each file once.

    Args:
        checkpoints: Names of checkpoints; those that the run has no longer are left out.
    """
    found: dict[Choice, str] = {}
    for name in checkpoints:
        choice = choices.named(name)
        if choice is not None:
            found.setdefault(choice, name)
    first = found.values() or (choices.checkpoints[0].name,)
    return tuple(Source(choices.run_id, name) for name in list(first)[:MOST_SOURCES])


def sources_of_runs(run_ids: Sequence[str], checkpoint: str) -> tuple[Source, ...]:
    """Sources of a sampling job for several runs, one checkpoint of each."""
    name = checkpoint if checkpoint in _KINDS else "auto"
    return tuple(Source(run_id, name) for run_id in run_ids[:MOST_SOURCES])


def _choice(same: Sequence[tuple[str, CheckpointInfo]]) -> Choice:
    infos = [info for _, info in same]
    metric = next((info.metric for info in infos if info.metric is not None), None)
    return Choice(tuple(name for name, _ in same), infos[0].step, metric)


def _has_legacy(run: RunFolder) -> bool:
    return any((folder / NANOGPT_NAME).is_file() for folder in (run.checkpoints, run.root))
