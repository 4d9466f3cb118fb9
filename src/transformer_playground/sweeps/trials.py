"""Trials of a sweep: one run each, and what has become of them."""

import functools
import hashlib
import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import check_artifacts
from transformer_playground.errors import ConfigError, DataError, PlaygroundError
from transformer_playground.files import display_path
from transformer_playground.jsonvalues import as_object, as_text
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, check_run_id, read_run_config
from transformer_playground.runs.index import flatten
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.naming import SEED, learning_settings
from transformer_playground.sweeps.axes import Choices, Values, override
from transformer_playground.sweeps.search import Search
from transformer_playground.sweeps.spec import MOST_RUNS, Sweep
from transformer_playground.training.launch import Launch, ResolvedLaunch, resolve_launch

if TYPE_CHECKING:
    from transformer_playground.data.progress import Progress

State = Literal["open", "running", "pruned", "finished", "failed"]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        number: Counts from 0; trials of one combination follow each other.
        values: Setting and value of each axis.
        run_id: Id of its run.
    """

    number: int
    values: Values
    seed: int
    run_id: str

    def overrides(self, sweep: Sweep) -> tuple[str, ...]:
        """All settings of the run that are not those of the experiment."""
        own = [override(key, value) for key, value in self.values]
        return (*sweep.settings, *own, override(SEED, self.seed))

    def launch(self, sweep: Sweep) -> Launch:
        """The launch of the run as a new one."""
        return Launch(
            sweep.experiment,
            self.overrides(sweep),
            self.run_id,
            config=sweep.config,
            prepare="never",
            sweep=(sweep.sweep_id, self.number),
            kept=None if sweep.base is None else sweep.base.kept,
        )


@dataclass(frozen=True)
class TrialState:
    """What has become of a trial.

    Attributes:
        row: Its run in the list of runs; None if it has none yet.
        is_reused: The run was trained outside of the sweep, with the same settings and data.
        goal: Step to which the run is trained next; None for its end.
        waits: Whether other runs decide if it is trained.
    """

    trial: Trial
    state: State
    row: RunInfo | None = None
    is_reused: bool = False
    goal: int | None = None
    waits: bool = False


def plan(sweep: Sweep) -> list[Trial]:
    """The trials of a sweep; the same each time, but a search adds to them.

    Raises:
        ConfigError: The grid is too large, or a range has no number of values.
    """
    trials = []
    for place, values in _combinations(sweep).items():
        for offset, seed in enumerate(sweep.seeds):
            number = place * len(sweep.seeds) + offset
            trials.append(Trial(number, values, seed, _run_id(sweep, values, seed)))
    return trials


@dataclass(frozen=True)
class CheckedLaunch:
    """The checked configuration of a trial.

    Attributes:
        key: Equal for configurations that train the same run.
    """

    resolved: ResolvedLaunch
    key: str


def resolve_trial(
    sweep: Sweep, trial: Trial, experiments_dir: Path, runs_dir: Path
) -> CheckedLaunch:
    """The checked configuration of a trial.

    Raises:
        PlaygroundError: It is impossible; the message names its values.
    """
    try:
        resolved = resolve_launch(experiments_dir, runs_dir, trial.launch(sweep))
        return CheckedLaunch(
            resolved, _key(flatten(resolved.loaded.config.model_dump(mode="json")))
        )
    except ConfigError as error:
        values = " ".join(override(key, value) for key, value in trial.values)
        raise ConfigError(f"With {values}: {error.message}", error.hint) from error


def prepare_dataset(
    sweep: Sweep,
    experiments_dir: Path,
    runs_dir: Path,
    report: Callable[[str], None],
    progress: "Callable[[Progress], object]",
) -> str | None:
    """Prepare the dataset of a sweep if needed; all its runs have the same.

    One that the sweep's runs were trained on stays as it is, even if its text has changed since.

    Returns:
        Its fingerprint.

    Raises:
        DataError: It is another one than that of the runs there are.
        PlaygroundError: As when training starts.
    """
    kept = None if sweep.base is None else sweep.base.kept
    launch = Launch(sweep.experiment, sweep.settings, config=sweep.config, kept=kept)
    resolved = resolve_launch(experiments_dir, runs_dir, launch)
    folder = resolved.loaded.config.prepare.dataset_dir
    expected = None if sweep.base is None else sweep.base.dataset
    if expected is None or dataset_fingerprint(folder) is None:
        resolved.prepare(report, progress)
    check_dataset(folder, expected)
    return dataset_fingerprint(folder)


def check_dataset(folder: Path, expected: str | None) -> None:
    """Refuse a dataset that is not the one of the sweep's runs.

    Args:
        folder: Folder of the dataset; without one training says what is missing.
        expected: Fingerprint of that of the runs; None without runs.

    Raises:
        DataError: It is another one.
    """
    found = dataset_fingerprint(folder)
    if expected is not None and found not in (None, expected):
        raise DataError(
            f"The dataset in {display_path(folder)} is not the one of the runs of this sweep: "
            "it was prepared again, from another text or with other settings.",
            "Prepare it as before, or make a new sweep.",
        )


def dataset_fingerprint(folder: Path) -> str | None:
    """The fingerprint of a dataset; None if there is none that can be used."""
    try:
        return as_text(check_artifacts(folder).get("fingerprint"))
    except DataError:
        return None


def trial_states(
    trials: Sequence[Trial], checked: Sequence[CheckedLaunch], runs_dir: Path
) -> list[TrialState]:
    """The state of each trial, from the runs on disk.

    A trial without a run takes a finished run of the same settings, seed and dataset instead.
    """
    rows = {row.run_id: row for row in list_runs(runs_dir)}
    own = {trial.run_id for trial in trials}
    finished = _Finished([row for row in rows.values() if row.run_id not in own], runs_dir)
    states = []
    for trial, launch in zip(trials, checked, strict=True):
        row = rows.get(trial.run_id)
        if row is not None:
            states.append(TrialState(trial, _state(row), row))
        elif (found := finished.like(launch)) is not None:
            states.append(TrialState(trial, "finished", found, is_reused=True))
        else:
            states.append(TrialState(trial, "open"))
    return states


def _combinations(sweep: Sweep) -> dict[int, Values]:
    if sweep.method == "tpe":
        _check_size((sweep.runs or 0) * len(sweep.seeds))
        return search_of(sweep).combinations() if sweep.root is not None else {}
    if sweep.method == "list":
        _check_size(len(sweep.listed) * len(sweep.seeds))
        return dict(enumerate(sweep.listed))
    return dict(enumerate(_grid(sweep) if sweep.method == "grid" else _draws(sweep)))


def most_combinations(sweep: Sweep) -> int:
    """How many combinations a search chooses at most: `runs`, or all that there are."""
    sizes = [len(axis.values) for axis in sweep.axes if isinstance(axis, Choices) or axis.count]
    is_finite = len(sizes) == len(sweep.axes)
    return min(sweep.runs or 0, math.prod(sizes)) if is_finite else sweep.runs or 0


def search_of(sweep: Sweep) -> Search:
    """The search of a saved sweep with the method "tpe"."""
    assert sweep.root is not None
    return Search(sweep.root, sweep.axes, sweep.draw_seed)


def examples(sweep: Sweep) -> list[Trial]:
    """Trials that stand for a search: each value of each axis, or its bounds, at least once."""
    values = [
        list(axis.values) if isinstance(axis, Choices) or axis.count else list(axis.bounds)
        for axis in sweep.axes
    ]
    count = max(map(len, values), default=1)
    found = []
    for place in range(count):
        chosen = tuple(
            (axis.key, own[place % len(own)]) for axis, own in zip(sweep.axes, values, strict=True)
        )
        found.append(Trial(place, chosen, sweep.seeds[0], _run_id(sweep, chosen, sweep.seeds[0])))
    return found


def _grid(sweep: Sweep) -> list[Values]:
    size = len(sweep.seeds)
    for axis in sweep.axes:
        size *= len(axis.values)
    _check_size(size)
    pairs = [[(axis.key, value) for value in axis.values] for axis in sweep.axes]
    return list(itertools.product(*pairs))


def _draws(sweep: Sweep) -> list[Values]:
    _check_size((sweep.runs or 0) * len(sweep.seeds))
    drawn: dict[str, Values] = {}
    for place in range(sweep.runs or 0):
        # Each draw has a seed of its own: more runs add to the earlier ones.
        generator = random.Random(f"{sweep.draw_seed}-{place}")
        values = tuple((axis.key, axis.draw(generator)) for axis in sweep.axes)
        drawn.setdefault(repr(values), values)
    return list(drawn.values())


def _check_size(runs: int) -> None:
    if runs > MOST_RUNS:
        raise ConfigError(
            f"The sweep would have {runs:,} runs; {MOST_RUNS:,} are possible.",
            "Leave out values, or draw some of the combinations: --method random --runs 50.",
        )


def _run_id(sweep: Sweep, values: Values, seed: int) -> str:
    """The id of a run by what it trains: it stays the same when the sweep's file is edited."""
    content = repr((sorted(sweep.settings), sorted(values), seed))
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    # The form of generated ids, so that lists call these runs by their settings.
    return check_run_id(f"{sweep.sweep_id}-{sweep.created}-{digest}")


def _state(row: RunInfo) -> State:
    if row.state in ("finished", "failed", "running"):
        return row.state  # type: ignore[return-value]
    # Stopped and interrupted runs are resumed; a broken one cannot be.
    return "failed" if row.state == "broken" else "open"


class _Finished:
    """Finished runs that could take the place of a trial."""

    def __init__(self, rows: Sequence[RunInfo], runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._rows: dict[str, list[RunInfo]] = {}
        defaults = _defaults()
        for row in rows:
            if row.state == "finished" and row.parent is None and row.settings:
                self._rows.setdefault(_key({**defaults, **row.settings}), []).append(row)
        self._fingerprints: dict[Path, object] = {}

    def like(self, launch: CheckedLaunch) -> RunInfo | None:
        """A run with the settings and the dataset of this launch."""
        folder = launch.resolved.loaded.config.prepare.dataset_dir
        for row in self._rows.get(launch.key, []):
            try:
                record = read_run_config(RunFolder(self._runs_dir / row.run_id))
            except PlaygroundError:
                continue
            known = as_object(record.get("dataset")).get("fingerprint")
            if known is not None and known == self._fingerprint(folder):
                return row
        return None

    def _fingerprint(self, folder: Path) -> object:
        if folder not in self._fingerprints:
            self._fingerprints[folder] = dataset_fingerprint(folder)
        return self._fingerprints[folder]


@functools.cache
def _defaults() -> Mapping[str, Any]:
    return flatten(ExperimentConfig().model_dump(mode="json"))


def _key(settings: Mapping[str, Any]) -> str:
    return repr(sorted(learning_settings(settings).items()))
