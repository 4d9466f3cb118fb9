"""Launch of a run, shared by CLI and console: resolve its config, prepare its dataset, train it.

Importing this module loads neither torch nor pydantic, so that the console can show a launch form
at once.
"""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from transformer_playground.errors import ConfigError, DataError, UsageError
from transformer_playground.experiments.discovery import (
    EXPERIMENTS_DIR,
    Experiment,
    find_experiment,
    load_experiment,
)
from transformer_playground.experiments.kept import KeptSettings
from transformer_playground.experiments.recorded import (
    DATASET_TABLES,
    recorded_config_file,
    recorded_prepare_command,
)
from transformer_playground.experiments.scaffold import find_or_install
from transformer_playground.files import display_path
from transformer_playground.jsonvalues import as_object, as_text
from transformer_playground.runs.folder import RUNS_DIR, RunFolder, open_run, read_run_config
from transformer_playground.training.branching import refuse_without_steps

if TYPE_CHECKING:
    from transformer_playground.config.loading import LoadedConfig
    from transformer_playground.data.prepare import PrepareReport
    from transformer_playground.data.progress import Progress
    from transformer_playground.training.control import TrainingControl
    from transformer_playground.training.estimate import Estimate
    from transformer_playground.training.lr_range import RangeSettings, RangeTest
    from transformer_playground.training.run import TrainingRequest, TrainingResult
    from transformer_playground.training.sinks.base import Sink

PrepareWhen = Literal["never", "if needed", "always"]


@dataclass(frozen=True)
class Launch:
    """Request to train: a new run, a resumed run or a branch.

    Attributes:
        experiment: Name of the experiment; empty to take it from `config` or the run to resume.
        overrides: `dotted.key=value` each.
        run_id: Id of the new run; None generates one.
        resume: Id of a run to resume instead of starting a new one.
        branch: Run id and checkpoint file to branch from; the new run keeps that run's settings.
        config: Configuration file to use instead of the experiment's own.
        prepare: When to prepare the dataset; with "never" a missing one is an error.
        sweep: Id of the sweep that the new run belongs to, and the number of its trial.
        kept: Settings to begin with instead of the experiment's files and the environment.
        reads_environment: Whether override variables of the environment apply; they never do
            with `kept`.
    """

    experiment: str
    overrides: tuple[str, ...] = ()
    run_id: str | None = None
    resume: str | None = None
    branch: tuple[str, str] | None = None
    config: Path | None = None
    prepare: PrepareWhen = "if needed"
    sweep: tuple[str, int] | None = None
    kept: KeptSettings | None = None
    reads_environment: bool = True

    @property
    def origin(self) -> str | None:
        """Id of the run to resume or branch from, if any."""
        return self.resume or (self.branch[0] if self.branch else None)


@dataclass(frozen=True)
class ResolvedLaunch:
    """A launch with its checked configuration; no dataset and no run has been written yet.

    `notices` says which bundled experiment was copied into place, and which settings a resume
    or branch changes.
    """

    launch: Launch
    runs_dir: Path
    experiment: Experiment
    loaded: "LoadedConfig"
    notices: tuple[str, ...] = ()
    experiments_dir: Path = EXPERIMENTS_DIR

    @property
    def prepare_command(self) -> str:
        """The shell command that prepares the dataset of this launch."""
        launch = self.launch
        if launch.resume is not None:
            arguments = ["tp", "loop", "--resume", launch.resume]
            return shell_command(arguments, self.experiments_dir, self.runs_dir)
        arguments = ["tp", "prepare", *filter(None, [launch.experiment])]
        if launch.config is not None:
            arguments += ["--config", str(launch.config)]
        elif not launch.experiment:
            arguments.append(self.experiment.name)
        for override in launch.overrides:
            if override.lstrip().startswith(DATASET_TABLES):
                arguments += ["--set", override]
        return shell_command(arguments, self.experiments_dir)

    def prepare(
        self,
        report: Callable[[str], None],
        progress: "Callable[[Progress], object]" = lambda _: None,
    ) -> "PrepareReport | None":
        """Prepare the dataset as `launch.prepare` says; None if there was nothing to do.

        An existing dataset of a resumed or branched run is never rebuilt, since the run needs it
        unchanged.

        Raises:
            DataError: The corpus is unusable, or the experiment's `prepare.py` fails.
        """
        from transformer_playground.experiments.registry import prepare_experiment

        if not self._prepares:
            return None
        config, force = self.loaded.config, self.launch.prepare == "always"
        return prepare_experiment(
            self.experiment, config, report=report, progress=progress, force=force
        )

    @property
    def preparer(self) -> Path | None:
        """The experiment's `prepare.py` if `prepare` runs it."""
        from transformer_playground.experiments.registry import preparer_path

        return preparer_path(self.experiment) if self._prepares else None

    @property
    def _prepares(self) -> bool:
        if self.launch.prepare == "never":
            return False
        folder = self.loaded.config.prepare.dataset_dir
        return self.launch.origin is None or not _has_dataset(folder)

    def train(
        self,
        sinks: "Sequence[Sink]",
        control: "TrainingControl",
        notify: Callable[[str], object],
    ) -> "TrainingResult":
        """Start, resume or branch the run and train it; see `training.run.start`.

        Args:
            sinks: Further sinks, besides those that write the run's files.
            control: Requests from other threads.
            notify: Called with each notice of `resolve_launch`, then with those of training.
        """
        for notice in self.notices:
            notify(notice)
        # The first import of torch takes a second or more.
        from transformer_playground.training.run import start

        launch = self.launch
        return start(
            self._request(),
            self.runs_dir,
            run_id=launch.run_id,
            resume_from=launch.resume,
            branch_from=launch.branch,
            sinks=sinks,
            control=control,
            notify=notify,
        )

    def estimate(self, notify: Callable[[str], object], *, timed: bool = False) -> "Estimate":
        """Time, memory and size of the run as a new one; nothing of it remains on disk.

        From an earlier run of the same shape on this machine, or else (or if `timed`) from a few
        steps that are run for it.

        Raises:
            PlaygroundError: As when training starts.
        """
        for notice in self.notices:
            notify(notice)
        if not timed and (found := self.known_estimate()) is not None:
            return found
        # What is missing is said before the slow import of torch.
        from transformer_playground.data.dataset import open_dataset

        open_dataset(self.loaded.config.prepare.dataset_dir, prepare_command=self.prepare_command)
        from transformer_playground.training.timed_estimate import estimate_run

        if (processes := self.loaded.config.train.distributed.processes) > 1:
            notify(f"steps are timed with one process, not with {processes}")
        return estimate_run(self._request(), notify)

    def range_test(
        self,
        settings: "RangeSettings",
        notify: Callable[[str], object],
        progress: Callable[[int, float, float], object] = lambda *_: None,
    ) -> "RangeTest":
        """Learning-rate range test of the launch as a new run; nothing of it remains on disk.

        Args:
            settings: The rates.
            notify: Called with each notice of `resolve_launch`, then with those of training.
            progress: Called after each step with its number, rate and loss.

        Raises:
            PlaygroundError: As when training starts.
        """
        for notice in self.notices:
            notify(notice)
        from transformer_playground.training.lr_range_steps import run_range_test

        return run_range_test(self._request(), settings, notify, progress)

    def known_estimate(self, *, rough: bool = False) -> "Estimate | None":
        """The estimate from an earlier run, without torch; see `estimate_from_runs`."""
        from transformer_playground.data.dataset import check_artifacts
        from transformer_playground.training.estimate import estimate_from_runs

        config = self.loaded.config
        vocab_size = config.model.vocab_size or 0
        try:
            vocab_size = check_artifacts(config.prepare.dataset_dir)["vocab_size"]
        except DataError:
            # The dataset is prepared when training starts; without it no run is of the same shape.
            if not (rough and vocab_size):
                return None
        return estimate_from_runs(config, vocab_size, self.runs_dir, rough=rough)

    def _request(self) -> "TrainingRequest":
        from transformer_playground.training.run import TrainingRequest

        experiment, loaded = self.experiment, self.loaded
        return TrainingRequest(
            experiment.name,
            loaded.config,
            loaded.provenance,
            experiment.folder,
            self.prepare_command,
            self.launch.sweep,
        )


def resolve_launch(experiments_dir: Path, runs_dir: Path, launch: Launch) -> ResolvedLaunch:
    """Load the configuration of a launch: from its experiment, or from the run to resume or branch.

    A bundled experiment that is not there yet is copied into `experiments_dir` first.

    Raises:
        UsageError: There is no such experiment, the run belongs to another experiment, a resume
            would rebuild the dataset, or a branch has no step to train.
        ConfigError: The settings are not valid, or change one that a run must keep.
        RunError: There is no such run.
    """

    notices: list[str] = []
    environ: Mapping[str, str] = os.environ if launch.reads_environment else {}

    def load(name: str) -> tuple[Experiment, "LoadedConfig"]:
        if name:
            find_or_install(experiments_dir, name, notices.append)
        stated = launch.config, launch.overrides, environ
        return load_experiment(experiments_dir, name or None, *stated)

    if (kept := launch.kept) is not None:
        loaded = kept.load(launch.overrides)
        return ResolvedLaunch(launch, runs_dir, kept.experiment, loaded, (), experiments_dir)
    if launch.origin is None:
        chosen = load(launch.experiment)
        return ResolvedLaunch(launch, runs_dir, *chosen, tuple(notices), experiments_dir)
    run = open_run(runs_dir, launch.origin)
    if launch.prepare == "always":
        raise UsageError(
            f"--force would rebuild the dataset that run '{run.run_id}' needs unchanged.",
            "Leave out --force, or start a new run.",
        )
    # Imported late: the console's first frame must not load pydantic.
    from transformer_playground.config import run_config

    record = read_run_config(run)
    if "imported" in record and "dataset" not in record:
        raise UsageError(
            f"run '{run.run_id}' was imported without a dataset, so it cannot be trained on.",
            "Import it again with --experiment, naming one with the same tokenizer.",
        )
    vocab_size = run_config.saved_vocab_size(record)
    stated = run_config.override_layers(launch.config, launch.overrides, environ)
    is_branch = launch.resume is None
    run_config.check_overrides(record["config"], stated, vocab_size=vocab_size, is_branch=is_branch)
    origin = _Origin(run, record, experiments_dir)
    experiment, current = origin.experiment_now(launch, load, notices.append)
    loaded = run_config.load_resumed_config(
        record, current, stated, path=run.config_path, is_dataset=origin.is_dataset
    )
    notices += run_config.changed_settings(record, loaded, stated)
    refuse_without_steps(run, launch.branch, loaded.config.train.runtime.max_iters)
    return ResolvedLaunch(launch, runs_dir, experiment, loaded, tuple(notices), experiments_dir)


@dataclass(frozen=True)
class _Origin:
    """The run that a launch resumes or branches, with its `config.json`."""

    run: RunFolder
    record: Mapping[str, Any]
    experiments_dir: Path

    def experiment_now(
        self,
        launch: Launch,
        load: "Callable[[str], tuple[Experiment, LoadedConfig]]",
        notify: Callable[[str], object],
    ) -> "tuple[Experiment, LoadedConfig | None]":
        """The run's experiment and its present configuration.

        As long as the dataset exists the run needs neither: without a usable experiment its
        record takes the place of both.
        """
        name = self.record["experiment"]
        if launch.experiment not in ("", name):
            self._refuse(find_experiment(self.experiments_dir, launch.experiment))
        is_named = bool(launch.experiment) or launch.config is None
        is_gone = is_named and not os.path.lexists(self.experiments_dir / name)
        has_dataset = self.is_dataset(self._dataset_dir)
        recorded = Experiment(name, self.run.root, self.run.config_path)
        if is_gone and has_dataset:
            return recorded, None
        try:
            experiment, current = load(name if is_named else "")
        except ConfigError as error:
            if launch.config is not None or not has_dataset:
                raise
            notify(f"{error.message} Using the settings in {display_path(self.run.config_path)}.")
            return recorded, None
        except UsageError as error:
            if not is_gone:
                raise
            where = display_path(self._dataset_dir)
            file = recorded_config_file(self.record)
            raise UsageError(
                f"{error.message} The dataset of run '{self.run.run_id}' is not in {where} either.",
                f"Prepare it again: {recorded_prepare_command(self.record)}"
                if file is not None and file.is_file()
                else "Restore one of them, or start a new run.",
            ) from error
        if experiment.name != name:
            self._refuse(experiment)
        return experiment, current

    def is_dataset(self, folder: Path) -> bool:
        """Whether a folder has the dataset that the run was trained on."""
        from transformer_playground.data.meta import META_FILE, read_meta

        try:
            found = read_meta(folder / META_FILE) if _has_dataset(folder) else {}
        except DataError:
            return False
        known = as_object(self.record.get("dataset")).get("fingerprint")
        return known is not None and found.get("fingerprint") == known

    @property
    def _dataset_dir(self) -> Path:
        prepare = as_object(self.record["config"].get("prepare"))
        return Path(as_text(prepare.get("dataset_dir")) or "datasets")

    def _refuse(self, other: Experiment) -> NoReturn:
        raise UsageError(
            f"run '{self.run.run_id}' belongs to experiment '{self.record['experiment']}', "
            f"not to '{other.name}'.",
            "Name that experiment, or choose another --run-id for a new run.",
        )


def shell_command(
    arguments: Sequence[str], experiments_dir: Path, runs_dir: Path = RUNS_DIR
) -> str:
    """A shell command, with the options of folders that are not the default ones."""
    stated = list(arguments)
    if experiments_dir != EXPERIMENTS_DIR:
        stated += ["--experiments-dir", str(experiments_dir)]
    if runs_dir != RUNS_DIR:
        stated += ["--runs-dir", str(runs_dir)]
    return shlex.join(stated)


def _has_dataset(folder: Path) -> bool:
    from transformer_playground.data import dataset, meta

    # After a crash this completes the replacement of a committed dataset.
    dataset.finish_replacement(folder)
    return (folder / meta.META_FILE).exists()
