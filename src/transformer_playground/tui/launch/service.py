"""Launch preview: settings, data and model size of a launch, without torch."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from transformer_playground.config.loading import leaves
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.toml import toml_key
from transformer_playground.data.dataset import known_vocab_size
from transformer_playground.data.prepare import DatasetState
from transformer_playground.errors import ConfigError, PlaygroundError, UsageError
from transformer_playground.experiments.discovery import discover, load_experiment
from transformer_playground.experiments.recorded import recorded_experiment
from transformer_playground.experiments.registry import dataset_state
from transformer_playground.files import display_path, replace_text, temporary_sibling
from transformer_playground.formatting import count_text, learning_rate_text
from transformer_playground.jsonvalues import as_object
from transformer_playground.runs.folder import check_run_id, open_run, read_run_config
from transformer_playground.runs.naming import LOCATIONS
from transformer_playground.training.branching import branch_step
from transformer_playground.training.launch import Launch, resolve_launch
from transformer_playground.tui.launch.completion import typed_form

NameOf = Callable[[str], str]


@dataclass(frozen=True)
class SettingValues:
    """Values of all settings by dotted key: of the run, and without the changes."""

    new: Mapping[str, Any] = field(default_factory=dict)
    was: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preview:
    """Preview of a launch.

    Attributes:
        config: The settings; None if they are not valid.
        values: Values of all settings; those of the run are missing if they are not valid.
        data: State of the dataset; "kept" if it is stale but must not change because a run uses it;
            None if the settings are not valid.
        parameters: Model size; None while the vocabulary or the base model is not known.
        problem: Why the launch is not valid.
    """

    config: ExperimentConfig | None = None
    values: SettingValues = field(default_factory=SettingValues)
    data: DatasetState | Literal["kept"] | None = None
    parameters: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class ExperimentChoice:
    """An experiment in the list."""

    name: str
    kind: str
    data: str
    description: str


def preview(
    experiments_dir: Path, runs_dir: Path, launch: Launch, like: str | None = None
) -> Preview:
    """Load and summarise the settings of a launch; errors are returned in `problem`.

    Args:
        experiments_dir: Folder of experiments.
        runs_dir: Folder of runs.
        launch: The launch.
        like: Run that it repeats; its values are those without the changes.
    """
    was = _values_without_changes(experiments_dir, runs_dir, launch, like)
    try:
        resolved = resolve_launch(experiments_dir, runs_dir, launch)
        config = resolved.loaded.config
        state = dataset_state(resolved.experiment, config)
    except PlaygroundError as error:
        return Preview(values=SettingValues(was=was), problem=_message(error))
    return Preview(
        config=config,
        values=SettingValues(_by_key(config), was),
        data="kept" if state == "stale" and launch.origin is not None else state,
        parameters=_parameters(config),
    )


def _values_without_changes(
    experiments_dir: Path, runs_dir: Path, launch: Launch, like: str | None
) -> dict[str, Any]:
    try:
        if like is not None:
            return _saved_values(read_run_config(open_run(runs_dir, like)))
        resolved = resolve_launch(experiments_dir, runs_dir, replace(launch, overrides=()))
    except PlaygroundError:
        return {}
    return _by_key(resolved.loaded.config)


def launch_again(experiments_dir: Path, runs_dir: Path, run_id: str) -> Launch:
    """A launch with the settings of an earlier run.

    Its overrides are the settings in which the run differs from what its experiment is now.

    Raises:
        PlaygroundError: The run or its experiment cannot be read.
    """
    record = read_run_config(open_run(runs_dir, run_id))
    experiment = recorded_experiment(record)
    if experiment is None:
        raise UsageError(f"The run '{run_id}' does not say its experiment.", "")
    _, loaded = load_experiment(experiments_dir, experiment, None, (), os.environ)
    now = _by_key(loaded.config)
    overrides = tuple(
        f"{key}={typed_form(value)}"
        for key, value in _saved_values(record).items()
        if key in now and now[key] != value and key not in LOCATIONS
    )
    return Launch(experiment, overrides)


def _by_key(config: ExperimentConfig) -> dict[str, Any]:
    """Every setting by its dotted key, as plain JSON values; labels are left out."""
    return {
        toml_key(key): value
        for key, value in leaves(config.model_dump(mode="json"))
        if key[0] != "experiment"
    }


def _saved_values(record: Mapping[str, Any]) -> dict[str, Any]:
    found = leaves(as_object(record.get("config")))
    return {toml_key(key): value for key, value in found if key[0] != "experiment"}


def check_launch(experiments_dir: Path, runs_dir: Path, launch: Launch) -> str:
    """Why a launch is not valid; empty if it is valid."""
    try:
        resolve_launch(experiments_dir, runs_dir, launch)
    except PlaygroundError as error:
        return _message(error)
    return check_name(runs_dir, launch.run_id or "")


def check_name(runs_dir: Path, run_id: str) -> str:
    """Why a new run cannot have this id; empty if it can or no id is given."""
    try:
        taken = bool(run_id) and os.path.lexists(runs_dir / check_run_id(run_id))
    except PlaygroundError as error:
        return str(error)
    return f"There is already a run '{run_id}'. Choose another id." if taken else ""


def choices(experiments_dir: Path) -> list[ExperimentChoice]:
    """All experiments; the description of an invalid one is its error."""
    return [_choice(experiments_dir, each.name) for each in discover(experiments_dir)]


def summary_lines(config: ExperimentConfig, size: int | None) -> list[tuple[str, str]]:
    """Summary of the settings as (label, text) lines; `size` is the parameter count, if known."""
    train = config.train
    data, optim, schedule, runtime = train.data, train.optim, train.schedule, train.runtime
    shape = _adapter_text(config) if config.experiment.kind == "lora" else _model_text(config, size)
    tokens = data.batch_size * config.train_block_size * data.grad_accum_steps
    accumulated = f" × {data.grad_accum_steps}" if data.grad_accum_steps > 1 else ""
    batch = (
        f"{runtime.max_iters:,} steps · {data.batch_size:,} × {config.train_block_size:,}"
        f"{accumulated} = {tokens:,} tokens each"
    )
    decay = "" if schedule.schedule == "constant" else f" to {learning_rate_text(train.min_lr)}"
    highest = learning_rate_text(optim.learning_rate)
    rate = (
        f"{optim.optimizer}, {schedule.schedule} from {highest}{decay}"
        f", {train.warmup_iters:,} steps of warmup"
    )
    return [("model", shape), ("training", batch), ("learning", rate)]


def _model_text(config: ExperimentConfig, size: int | None) -> str:
    model = config.model
    count = "" if size is None else f"{count_text(size)} parameters · "
    return (
        f"{count}{model.n_layer} layers × {model.n_embd:,} wide · {model.n_head} heads"
        f" · context {model.block_size:,}"
    )


def _adapter_text(config: ExperimentConfig) -> str:
    peft, targets = config.peft, "usual layers"
    if not peft.auto_targets:
        targets = ", ".join(peft.target_modules)
    return (
        f"{config.hf_model.model_name} · LoRA of rank {peft.r} on {targets}"
        f" · context {config.train_block_size:,}"
    )


def form_title(launch: Launch, like: str | None, runs_dir: Path, name_of: NameOf) -> str:
    """What the form does; untrusted text.

    Args:
        launch: What the form begins with.
        like: Run that the launch repeats.
        runs_dir: Folder of the runs.
        name_of: What to call a run.
    """
    if launch.resume is not None:
        return f"Resume {name_of(launch.resume)}"
    if launch.branch is not None:
        parent, checkpoint = launch.branch
        try:
            step = branch_step(open_run(runs_dir, parent), checkpoint)
        except PlaygroundError:
            # The preview says what is wrong.
            step = None
        where = checkpoint if step is None else f"step {step:,} ({checkpoint})"
        return f"Branch from {name_of(parent)} at {where}"
    return f"Train {launch.experiment}" if like is None else f"Train again like {name_of(like)}"


def _message(error: PlaygroundError) -> str:
    """Message of an error; the hint of a `ConfigError` does not apply to the form."""
    return error.message if isinstance(error, ConfigError) else str(error)


def _choice(experiments_dir: Path, name: str) -> ExperimentChoice:
    found = preview(experiments_dir, experiments_dir, Launch(name))
    if found.config is None:
        return ExperimentChoice(name, "?", "broken", found.problem.partition("\n")[0])
    table = found.config.experiment
    return ExperimentChoice(name, table.kind, found.data or "", table.description)


def _parameters(config: ExperimentConfig) -> int | None:
    if config.experiment.kind == "lora":
        # The size of an adapter depends on its base model, which the preview does not load.
        return None
    vocab_size = config.model.vocab_size or known_vocab_size(config.prepare.dataset_dir)
    return None if vocab_size is None else config.model.parameter_count(vocab_size)


def save_config(experiments_dir: Path, experiment: str, path: Path, text: str, seen: str) -> None:
    """Replace a configuration file by `text` if the whole configuration is valid with it.

    Args:
        seen: Content of the file when it was read.

    Raises:
        ConfigError: The settings are not valid, or OSError while writing; the file is unchanged.
        ConfigChangedError: The file has changed since it was read.
    """
    try:
        current = path.read_bytes()
        with temporary_sibling(path) as trial:
            trial.write_text(text, encoding="utf-8", newline="")
            _check_trial(experiments_dir, experiment, trial, path)
        if current != seen.encode("utf-8"):
            raise ConfigChangedError(current.decode("utf-8", "replace"))
        replace_text(path, text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{display_path(path)} could not be saved: {reason}.") from error


class ConfigChangedError(ConfigError):
    """The file was changed by another program."""

    def __init__(self, text: str) -> None:
        super().__init__(
            "The file was changed by another program.", "Save again to overwrite it, or reload it."
        )
        self.text = text


def _check_trial(experiments_dir: Path, experiment: str, trial: Path, path: Path) -> None:
    try:
        load_experiment(experiments_dir, experiment, trial, (), os.environ)
    except ConfigError as error:
        real, tried = display_path(path), display_path(trial)
        raise ConfigError(
            error.message.replace(tried, real), error.hint.replace(tried, real)
        ) from error
