"""Training runs: start a new run, resume one or branch one, with its records on disk."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transformer_playground.checkpoints.discovery import (
    FoundCheckpoint,
    choose,
    newest_valid,
    skipped_notice,
)
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.config.finetuning import PeftConfig
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.run_config import saved_vocab_size
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import (
    CheckpointError,
    ConfigError,
    PlaygroundError,
    RunError,
    UsageError,
)
from transformer_playground.files import replace_json
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.model.base import count_parameters, trainable_parameters
from transformer_playground.runs.folder import (
    RunFolder,
    create_run,
    new_run_id,
    open_run,
    read_run_config,
)
from transformer_playground.runs.status import RunLock
from transformer_playground.runs.summary_file import summarise, write_summary
from transformer_playground.training.branching import refuse_without_time, why_finished
from transformer_playground.training.checkpointing import ResumePoint, read_state
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.environment import describe_environment
from transformer_playground.training.optimizers import build_optimizers
from transformer_playground.training.post_run import Artifacts, make_artifacts
from transformer_playground.training.requests import RequestReader
from transformer_playground.training.setup import TrainingSetup, build_setup, translate_oom
from transformer_playground.training.shards import is_in_parts, without_weights
from transformer_playground.training.shares import check_shares
from transformer_playground.training.sinks.base import Sink
from transformer_playground.training.sinks.run_files import (
    AdapterSink,
    MetricsSink,
    SamplesSink,
    TensorBoardSink,
)
from transformer_playground.training.sinks.text import LogFileSink
from transformer_playground.training.state import TrainingState
from transformer_playground.training.trainer import Trainer

Notify = Callable[[str], object]

# Settings in which the machines of a run may differ.
_OF_A_MACHINE = {"prepare": {"raw_dir", "dataset_dir"}, "hf_model": {"model_name"}}


@dataclass(frozen=True)
class TrainingRequest:
    """Experiment and configuration to train.

    `provenance` maps each non-default setting to its source; `folder` is the experiment's folder;
    `prepare_command` prepares its dataset; `sweep` is the id of a sweep and the number of a trial.
    """

    experiment: str
    config: ExperimentConfig
    provenance: Mapping[str, str]
    folder: Path
    prepare_command: str = "tp prepare"
    sweep: tuple[str, int] | None = None


@dataclass(frozen=True)
class TrainingResult:
    """A run whose training has ended without an error, with its post-run artifacts.

    Of several ranks only the first has a summary and artifacts.
    """

    run: RunFolder
    state: TrainingState
    summary: Mapping[str, Any]
    artifacts: Artifacts


def start(
    request: TrainingRequest,
    runs_dir: Path,
    *,
    run_id: str | None = None,
    resume_from: str | None = None,
    branch_from: tuple[str, str] | None = None,
    sinks: Sequence[Sink] = (),
    control: TrainingControl | None = None,
    notify: Notify = lambda _: None,
) -> TrainingResult:
    """Train a new run from step 0, resume a run, or branch a new run from a checkpoint.

    A run resumes from its newest valid checkpoint; a finished run that has no step left stays
    unchanged. A branch takes weights, EMA, optimizer state and
    step from the checkpoint; with unchanged settings it repeats its parent bit for bit, but tracks
    its own best loss and patience. Both keep the model of the checkpoint.

    Args:
        request: Experiment and configuration.
        runs_dir: Folder of runs.
        run_id: Id of the new run; None generates one.
        resume_from: Id of the run to resume.
        branch_from: Id of the parent run, which is only read, and "auto", "best", "last" or a file
            name in its checkpoints folder.
        sinks: Further sinks, besides those that write the run's files.
        control: Requests from other threads.
        notify: Called with a sentence for each setting that is kept from the checkpoint, for each
            damaged checkpoint that is skipped, and for a prompt that is not used as it is.

    Raises:
        RunError: Another process writes the run, or its dataset has changed.
        CheckpointError: No checkpoint is valid; a run never restarts at step 0 silently.
        PlaygroundError: Any other problem. A new run leaves no folder behind unless training
            started; a run that cannot be resumed is unchanged.
    """
    control, ranks = control or TrainingControl(), DistInfo.current()
    if not ranks.is_main:
        # The first rank alone writes and prints.
        sinks, notify = (), lambda _: None
    if resume_from is not None:
        run = open_run(runs_dir, resume_from)
        with _lock(run, ranks) as lock:
            found = ranks.from_main(lambda: newest_valid(run.checkpoints))
            setup, payload, saved = ranks.together(lambda: _continue(request, run, found, notify))
            _require_same(setup, ranks)
            state = read_state(payload)
            if sentence := why_finished(run, state, setup.config.train.runtime):
                notify(sentence)
                return TrainingResult(run, state, summarise(run), Artifacts())
            trainer = build_trainer(setup, run, sinks, control, ResumePoint(payload, found.path))
            # Parent and first environment stay as recorded when the run was created.
            kept = {key: saved[key] for key in ("environment",) if key in saved}
            if ranks.is_main:
                replace_json(run.config_path, saved | _record(request, setup) | kept)
            return _train(trainer, run, setup.config, lock)
    if branch_from is None:
        setup = ranks.together(lambda: load_setup(request, request.config, notify))
        resumption, ancestry = None, {}
    else:
        parent, chosen = open_run(runs_dir, branch_from[0]), branch_from[1]
        found = ranks.from_main(lambda: choose(parent.checkpoints, chosen))
        setup, payload, _ = ranks.together(lambda: _continue(request, parent, found, notify))
        refuse_without_time(parent, read_state(payload), setup.config.train.runtime)
        own = _fitting_payload(payload, setup, notify)
        resumption = ResumePoint(own, found.path, same_run=False)
        origin = {"run_id": parent.run_id, "checkpoint": found.path.name, "step": payload["step"]}
        ancestry = {"parent": origin}
    _require_same(setup, ranks)
    name = run_id or new_run_id(request.experiment)
    run = ranks.from_main(lambda: create_run(runs_dir, name, _record(request, setup) | ancestry))
    with _lock(run, ranks) as lock:
        if ranks.is_main:
            setup.tokenizer.save(run.tokenizer)
        trainer = build_trainer(setup, run, sinks, control, resumption)
        return _train(trainer, run, setup.config, lock)


def _lock(run: RunFolder, ranks: DistInfo) -> contextlib.AbstractContextManager[RunLock | None]:
    """The lock of the run, which the first rank holds for all."""
    return RunLock(run) if ranks.is_main else contextlib.nullcontext()


def _require_same(setup: TrainingSetup, ranks: DistInfo) -> None:
    ranks.require_same(setup.dataset.fingerprint, "dataset")
    ranks.require_same(setup.config.model_dump(mode="json", exclude=_OF_A_MACHINE), "configuration")


def _continue(
    request: TrainingRequest, run: RunFolder, found: FoundCheckpoint, notify: Notify
) -> tuple[TrainingSetup, dict[str, Any], dict[str, Any]]:
    """Setup and payload of a checkpoint, and the recorded configuration of its run."""
    saved = read_run_config(run)
    for skipped in found.skipped:
        notify(skipped_notice(skipped))
    payload = load_payload(found.path)
    vocab_size = saved_vocab_size(saved)
    config = _with_saved_model(request.config, payload, vocab_size, notify)
    setup = load_setup(request, config, notify)
    _refuse_changed_dataset(run, saved, setup)
    _refuse_other_base(payload, setup)
    return setup, payload, saved


def load_setup(request: TrainingRequest, config: ExperimentConfig, notify: Notify) -> TrainingSetup:
    """`build_setup`, with a notice where the prompt of the samples is not used as it is.

    Raises:
        PlaygroundError: As `build_setup`, or memory is short.
    """
    check_shares(config.train.data, DistInfo.current().world_size)
    with translate_oom():
        setup = build_setup(config, prepare_command=request.prepare_command)
    for notice in setup.prompt.notices(setup.model.block_size):
        notify(notice)
    return setup


def _fitting_payload(
    payload: Mapping[str, Any], setup: TrainingSetup, notify: Notify
) -> dict[str, Any]:
    """The parent's payload for a new branch: metrics reset, optimizer state if it fits."""
    model = setup.model
    fresh = build_optimizers(
        setup.config.train.optim, trainable_parameters(model), model.hidden_matrices()
    ).state_dict()
    own = {
        "evaluated_at": None,
        "val_loss": None,
        "best_val_loss": None,
        "best_step": None,
        "reference_val_loss": None,
        "evaluations_without_improvement": 0,
        "wall_time": 0.0,
        # As the step: both decide the learning rate.
        "active_seconds": read_state(payload).active_seconds,
    }
    fitting = {**payload, "progress": {**payload["progress"], **own}}
    if payload["optimizer"].keys() != fresh.keys():
        notify(
            f"the optimizer state is reset: the checkpoint holds the state of "
            f"{' and '.join(payload['optimizer']) or 'none'}, not of {' and '.join(fresh)}"
        )
        fitting["optimizer"] = fresh
    return fitting


def build_trainer(
    setup: TrainingSetup,
    run: RunFolder,
    sinks: Sequence[Sink],
    control: TrainingControl,
    resumption: ResumePoint | None,
) -> Trainer:
    """A trainer that also writes the files of the run; it closes all sinks when it ends.

    Raises:
        PlaygroundError: The checkpoint does not fit, a file cannot be opened, or memory is short.
    """
    with contextlib.ExitStack() as opened:
        own_sinks: list[Sink] = []
        writes = DistInfo.current().is_main
        for sink in _own_sinks(setup, run, resumption) if writes else ():
            own_sinks.append(sink)
            opened.callback(sink.close)
        with translate_oom():
            trainer = Trainer(setup, run, [*own_sinks, *sinks], control, resume_from=resumption)
        # From here on the trainer closes the sinks.
        opened.pop_all()
    return trainer


def _train(
    trainer: Trainer, run: RunFolder, config: ExperimentConfig, lock: RunLock | None
) -> TrainingResult:
    try:
        if lock is None:
            return TrainingResult(run, trainer.fit(), {}, Artifacts())
        with RequestReader(run, lock.session, trainer.control):
            state = trainer.fit()
    except BaseException:
        # The summary can be rebuilt from the metrics; it must not hide the error.
        with contextlib.suppress(PlaygroundError):
            if lock is not None:
                write_summary(run)
        raise
    summary = write_summary(run)
    artifacts = make_artifacts(
        run,
        config,
        wall_time=summary["wall_time_s"],
        stopped=trainer.control.stopping,
    )
    return TrainingResult(run, state, summary, artifacts)


def _own_sinks(
    setup: TrainingSetup, run: RunFolder, resumption: ResumePoint | None
) -> Iterator[Sink]:
    yield MetricsSink(run)
    yield SamplesSink(run)
    yield LogFileSink(run.log_path)
    if isinstance(setup.model, AdapterModel):
        # It writes the weights of checkpoints; those of a model in parts are not whole.
        is_sharded = is_in_parts(setup.config.train.distributed, DistInfo.current())
        yield AdapterSink(run, without_weights(setup.model) if is_sharded else setup.model)
    if setup.config.train.runtime.tensorboard:
        same_run = resumption is not None and resumption.same_run
        resumed_at = resumption.payload["step"] if resumption and same_run else None
        yield TensorBoardSink(run.tensorboard, resumed_at=resumed_at)


def _record(request: TrainingRequest, setup: TrainingSetup) -> dict[str, Any]:
    sweep = request.sweep
    return ({} if sweep is None else {"sweep": {"id": sweep[0], "trial": sweep[1]}}) | {
        "experiment": request.experiment,
        "config": setup.config.model_dump(mode="json"),
        "provenance": dict(request.provenance),
        "parameters": count_parameters(setup.model),
        "dataset": setup.dataset.record(),
        "environment": describe_environment(
            setup.device,
            setup.precision.name,
            setup.config.train.runtime,
            request.folder,
        ),
    }


def _with_saved_model(
    config: ExperimentConfig, payload: Mapping[str, Any], vocab_size: int | None, notify: Notify
) -> ExperimentConfig:
    """The configuration with the checkpoint's `[model]` or `[peft]` table."""
    if payload["kind"] != config.experiment.kind:
        raise UsageError(
            f"the checkpoint is of kind '{payload['kind']}', "
            f"but experiment.kind = '{config.experiment.kind}'.",
            "A run keeps its kind; start a new run for the other kind.",
        )
    name, saved = _saved_table(payload)
    table, now = saved.model_dump(), getattr(config, name).model_dump()
    if name == "model" and now["vocab_size"] is None and table["vocab_size"] == vocab_size:
        # Keep it unset: training fills in the tokenizer's size.
        table["vocab_size"] = None
    for field, kept in table.items():
        if kept != now[field]:
            notify(f"{name}.{field}: keeping the run's {kept!r} instead of {now[field]!r}")
    values = config.model_dump() | {name: table}
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"the settings do not fit the run's model: {error.errors()[0]['msg']}.",
            "A resumed run keeps its model; change the other setting.",
        ) from error


def _saved_table(payload: Mapping[str, Any]) -> tuple[str, ModelConfig | PeftConfig]:
    args = payload["model_args"]
    if payload["kind"] == "gpt":
        return "model", ModelConfig.model_validate(dict(args))
    try:
        return "peft", PeftConfig.model_validate(args.get("peft"))
    except ValidationError as error:
        raise CheckpointError(
            "The checkpoint's adapter settings are damaged.", "Choose another checkpoint."
        ) from error


def _refuse_other_base(payload: Mapping[str, Any], setup: TrainingSetup) -> None:
    saved = payload["model_args"].get("base_fingerprint")
    if saved != setup.model.args().get("base_fingerprint"):
        raise CheckpointError(
            f"hf_model.model_name = '{setup.config.hf_model.model_name}' is not the base model "
            "that the adapters of this run were trained on.",
            "Name that model (or its revision), or start a new run.",
        )


def _refuse_changed_dataset(
    run: RunFolder, record: Mapping[str, Any], setup: TrainingSetup
) -> None:
    saved = record.get("dataset")
    if not isinstance(saved, dict) or saved.get("fingerprint") != setup.dataset.fingerprint:
        raise RunError(
            f"the dataset has changed since run '{run.run_id}' started.",
            "Restore its input and prepare again, or start a new run.",
        )
