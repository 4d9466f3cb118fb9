"""From a configuration to a trained run: new runs, resumed runs, and their records."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transformer_playground.checkpoints.discovery import choose, newest_valid
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.config.finetuning import PeftConfig
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import (
    CheckpointError,
    ConfigError,
    PlaygroundError,
    RunError,
    UsageError,
)
from transformer_playground.files import replace_json
from transformer_playground.model.interface import count_parameters, trained_parameters
from transformer_playground.pretrained.model import AdaptedModel
from transformer_playground.runs.layout import (
    RunFolder,
    create_run,
    new_run_id,
    read_run_config,
)
from transformer_playground.runs.lock import RunLock
from transformer_playground.runs.summary import write_summary
from transformer_playground.training.artifacts import Artifacts, make_artifacts
from transformer_playground.training.checkpointing import Resumption
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.environment import describe_environment
from transformer_playground.training.materials import Materials, gather_materials
from transformer_playground.training.memory import memory_as_sentence
from transformer_playground.training.optimizers import build_optimizers
from transformer_playground.training.sinks.adapters import AdapterSink
from transformer_playground.training.sinks.base import Sink
from transformer_playground.training.sinks.lines import LogFileSink
from transformer_playground.training.sinks.metrics import MetricsSink, SamplesSink
from transformer_playground.training.state import TrainingState
from transformer_playground.training.trainer import Trainer

Notify = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """What the user asked to train.

    `provenance` says where each non-default value was set; `folder` holds the experiment.
    """

    experiment: str
    config: ExperimentConfig
    provenance: Mapping[str, str]
    folder: Path

    @property
    def prepare_command(self) -> str:
        """The command that makes this experiment's dataset."""
        return f"tp prepare {self.experiment}"


@dataclass(frozen=True)
class Outcome:
    """A run that training has left in good order, and what was made of it then."""

    run: RunFolder
    state: TrainingState
    summary: Mapping[str, Any]
    artifacts: Artifacts


def train_new_run(
    plan: Plan,
    runs_dir: Path,
    run_id: str | None,
    sinks: Sequence[Sink],
    control: TrainingControl,
) -> Outcome:
    """Create a run and train it from step 0.

    Raises:
        PlaygroundError: What is wrong; nothing is left behind unless training had begun.
    """
    with memory_as_sentence():
        materials = gather_materials(plan.config, prepare_command=plan.prepare_command)
    run_id = run_id or new_run_id(plan.experiment)
    run = create_run(runs_dir, run_id, _record(plan, materials))
    with RunLock(run):
        materials.tokenizer.save(run.tokenizer)
        trainer = _trainer(materials, run, sinks, control, None)
        return _train(trainer, run)


def resume_run(
    plan: Plan,
    run: RunFolder,
    sinks: Sequence[Sink],
    control: TrainingControl,
    notify: Notify,
) -> Outcome:
    """Continue a run from its newest valid checkpoint, with the model it was started with.

    Args:
        plan: The configuration as it is now; the model's saved arguments win over it.
        run: The run to go on with.
        sinks: Where events go, besides the run's own files.
        control: Requests from other threads.
        notify: Takes a sentence for each difference and each damaged checkpoint passed over.

    Raises:
        RunError: Another process writes the run, or its dataset has changed.
        CheckpointError: No checkpoint is valid; training never starts again at 0 by itself.
    """
    with RunLock(run):
        record = read_run_config(run)
        _refuse_other_experiment(run, record, plan)
        found = newest_valid(run.checkpoints)
        for skipped in found.skipped:
            notify(f"passed over a damaged checkpoint: {skipped}")
        payload = load_payload(found.path)
        plan = replace(plan, config=_with_saved_model(plan.config, payload, notify))
        with memory_as_sentence():
            materials = gather_materials(plan.config, prepare_command=plan.prepare_command)
        _refuse_changed_dataset(run, record, materials)
        _refuse_other_base(payload, materials)
        trainer = _trainer(materials, run, sinks, control, Resumption(payload, found.path))
        # The run's identity stays, and so does the environment it began in.
        kept = {key: record[key] for key in ("environment",) if key in record}
        replace_json(run.config_path, record | _record(plan, materials) | kept)
        return _train(trainer, run)


def branch_run(
    plan: Plan,
    parent: RunFolder,
    checkpoint: str,
    runs_dir: Path,
    run_id: str | None,
    sinks: Sequence[Sink],
    control: TrainingControl,
    notify: Notify,
) -> Outcome:
    """Create a run that starts where a checkpoint of another run stands, with settings of its own.

    Weights, average, optimizer state and step come from the checkpoint, and so does the shape of
    the model. With unchanged settings the new run repeats what its parent did from there on, bit
    for bit. Best losses and the patience of early stopping are counted anew.

    Args:
        plan: The configuration; the model's saved arguments win over it.
        parent: The run to branch off; it is only read.
        checkpoint: "auto", "best", "last" or a file name from the parent's checkpoints folder.
        runs_dir: Where the new run goes.
        run_id: Name of the new run; None makes one up.
        sinks: Where events go, besides the run's own files.
        control: Requests from other threads.
        notify: Takes a sentence for each difference that the settings alone do not show.

    Raises:
        RunError: The dataset is not the one that the parent was trained on.
        CheckpointError: The checkpoint is missing, damaged or from another program.
        PlaygroundError: What else is wrong; nothing is left behind unless training had begun.
    """
    record = read_run_config(parent)
    found = choose(parent.checkpoints, checkpoint)
    payload = load_payload(found.path)
    plan = replace(plan, config=_with_saved_model(plan.config, payload, notify))
    with memory_as_sentence():
        materials = gather_materials(plan.config, prepare_command=plan.prepare_command)
    _refuse_changed_dataset(parent, record, materials)
    _refuse_other_base(payload, materials)
    payload = _fitting_payload(payload, materials, notify)
    ancestry = {
        "parent": {
            "run_id": parent.run_id,
            "checkpoint": found.path.name,
            "step": payload["step"],
        }
    }
    run = create_run(
        runs_dir, run_id or new_run_id(plan.experiment), _record(plan, materials) | ancestry
    )
    with RunLock(run):
        materials.tokenizer.save(run.tokenizer)
        start = Resumption(payload, found.path, same_run=False)
        return _train(_trainer(materials, run, sinks, control, start), run)


def _fitting_payload(
    payload: Mapping[str, Any], materials: Materials, notify: Notify
) -> dict[str, Any]:
    """A parent's payload as a new run starts from it: its records are its own."""
    model = materials.model
    fresh = build_optimizers(
        materials.config.train.optim, trained_parameters(model), model.hidden_matrices()
    ).state_dict()
    own = {
        "evaluated_at": None,
        "val_loss": None,
        "best_val_loss": None,
        "best_step": None,
        "reference_val_loss": None,
        "evaluations_without_improvement": 0,
        "wall_time": 0.0,
    }
    fitting = {**payload, "progress": {**payload["progress"], **own}}
    if payload["optimizer"].keys() != fresh.keys():
        notify(
            f"the optimizer starts afresh: the checkpoint holds the state of "
            f"{' and '.join(payload['optimizer']) or 'none'}, not of {' and '.join(fresh)}"
        )
        fitting["optimizer"] = fresh
    return fitting


def _trainer(
    materials: Materials,
    run: RunFolder,
    sinks: Sequence[Sink],
    control: TrainingControl,
    resumption: Resumption | None,
) -> Trainer:
    with contextlib.ExitStack() as opened:
        own_sinks: list[Sink] = []
        for sink in _own_sinks(materials, run, resumption):
            own_sinks.append(sink)
            opened.callback(sink.close)
        with memory_as_sentence():
            trainer = Trainer(materials, run, [*own_sinks, *sinks], control, resumption=resumption)
        # From here on the trainer closes them, also when it fails.
        opened.pop_all()
    return trainer


def _train(trainer: Trainer, run: RunFolder) -> Outcome:
    try:
        state = trainer.fit()
    except BaseException:
        # What went wrong matters more than the summary, which can be made again from the rest.
        with contextlib.suppress(PlaygroundError):
            write_summary(run)
        raise
    summary = write_summary(run)
    artifacts = make_artifacts(
        run,
        trainer.train.runtime,
        wall_time=summary["wall_time_s"],
        stopped=trainer.control.stopping,
    )
    return Outcome(run, state, summary, artifacts)


def _own_sinks(
    materials: Materials, run: RunFolder, resumption: Resumption | None
) -> Iterator[Sink]:
    yield MetricsSink(run)
    yield SamplesSink(run)
    yield LogFileSink(run.log_path)
    if isinstance(materials.model, AdaptedModel):
        yield AdapterSink(run, materials.model)
    if materials.config.train.runtime.tensorboard:
        # Imported late: it takes a second, and runs may do without it.
        from transformer_playground.training.sinks.tensorboard import TensorBoardSink

        same_run = resumption is not None and resumption.same_run
        resumed_at = resumption.payload["step"] if resumption and same_run else None
        yield TensorBoardSink(run.tensorboard, resumed_at=resumed_at)


def _record(plan: Plan, materials: Materials) -> dict[str, Any]:
    dataset = materials.dataset
    return {
        "experiment": plan.experiment,
        "config": plan.config.model_dump(mode="json"),
        "provenance": dict(plan.provenance),
        "parameters": count_parameters(materials.model),
        "dataset": {
            "fingerprint": dataset.fingerprint,
            "train_tokens": len(dataset.train),
            "val_tokens": len(dataset.val),
            "vocab_size": dataset.vocab_size,
            "val_bytes_per_token": dataset.val_bytes_per_token,
        },
        "environment": describe_environment(
            materials.device,
            materials.precision.name,
            plan.config.train.runtime,
            plan.folder,
        ),
    }


def _with_saved_model(
    config: ExperimentConfig, payload: Mapping[str, Any], notify: Notify
) -> ExperimentConfig:
    """The settings with those that shape the trained weights as the checkpoint has them."""
    if payload["kind"] != config.experiment.kind:
        raise UsageError(
            f"the checkpoint is of kind '{payload['kind']}', "
            f"but experiment.kind = '{config.experiment.kind}'.",
            "A run keeps its kind; start a new run for the other one.",
        )
    name, saved = _saved_table(payload)
    now = getattr(config, name)
    for field in type(saved).model_fields:
        new, kept = getattr(now, field), getattr(saved, field)
        # An omitted vocabulary size is the tokenizer's, which the dataset's fingerprint checks.
        if new != kept and not (field == "vocab_size" and new is None):
            notify(f"{name}.{field}: keeping the run's {kept!r} instead of {new!r}")
    values = config.model_dump() | {name: saved.model_dump()}
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"the run's model does not go with the settings: {error.errors()[0]['msg']}.",
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


def _refuse_other_base(payload: Mapping[str, Any], materials: Materials) -> None:
    """Adapters mean nothing beside other frozen weights, even where the shapes agree."""
    then = payload["model_args"].get("base_fingerprint")
    if then != materials.model.args().get("base_fingerprint"):
        raise CheckpointError(
            f"hf_model.model_name = '{materials.config.hf_model.model_name}' is not the model that "
            "the adapters of this run were trained beside.",
            "Name that model (or its revision), or start a new run.",
        )


def _refuse_other_experiment(run: RunFolder, record: Mapping[str, Any], plan: Plan) -> None:
    if record.get("experiment") != plan.experiment:
        raise UsageError(
            f"run '{run.run_id}' belongs to experiment '{record.get('experiment')}', "
            f"not to '{plan.experiment}'.",
            "Name that experiment, or choose another --run-id for a new run.",
        )


def _refuse_changed_dataset(
    run: RunFolder, record: Mapping[str, Any], materials: Materials
) -> None:
    then = record.get("dataset")
    if not isinstance(then, dict) or then.get("fingerprint") != materials.dataset.fingerprint:
        raise RunError(
            f"the dataset has changed since run '{run.run_id}' began.",
            "Restore its input and prepare again, or start a new run.",
        )
