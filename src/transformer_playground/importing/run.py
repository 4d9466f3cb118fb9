"""Import: write a foreign model as a run folder with config, tokenizer, checkpoint and metrics."""

import contextlib
import dataclasses
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from transformer_playground.checkpoints.format import weights_payload
from transformer_playground.checkpoints.loading import build_model
from transformer_playground.checkpoints.store import CheckpointStore
from transformer_playground.config.loading import LoadedConfig, combine
from transformer_playground.config.run_config import saved_settings
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.sources import Layer
from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.data.tokenizers import Tokenizer, load_tokenizer
from transformer_playground.errors import ConfigError, RunError, UsageError, translate_os_errors
from transformer_playground.experiments.discovery import Experiment
from transformer_playground.files import display_path, remove_abandoned
from transformer_playground.importing.foreign import ForeignModel, Moments
from transformer_playground.importing.hf_tokenizer import is_same_tokenizer
from transformer_playground.model.base import LanguageModel, count_parameters, trainable_parameters
from transformer_playground.runs.folder import (
    RunFolder,
    check_run_id,
    create_run,
    move_into_place,
    new_run_id,
)
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.runs.summary_file import write_summary
from transformer_playground.training.environment import describe_environment
from transformer_playground.training.optimizers import build_optimizers
from transformer_playground.training.rng import RANDOMNESS_SCHEME
from transformer_playground.training.state import TrainingState

_EXPERIMENT = "the experiment"
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True)
class Imported:
    """The new run, and what was taken over; `notices` are sentences for the user."""

    run: RunFolder
    step: int
    parameters: int
    tokenizer: str
    has_optimizer_state: bool
    has_dataset: bool
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """The experiment whose dataset and settings an imported run gets."""

    experiment: Experiment
    loaded: LoadedConfig


def import_model(
    foreign: ForeignModel, runs_dir: Path, *, run_id: str | None = None, origin: Origin | None
) -> Imported:
    """Write a foreign model as a new run, complete or not at all.

    Args:
        foreign: The model.
        runs_dir: Folder of runs; created if missing.
        run_id: Id of the new run; None generates one.
        origin: The experiment on whose prepared dataset the run can be trained on; None = a run
            without a dataset.

    Raises:
        UsageError: The id is taken, or the experiment does not suit the model.
        DataError: The tokenizer is unknown, or the dataset is missing.
        CheckpointError: The weights do not fit, or cannot be written.
        RunError: OSError while writing.
    """
    if run_id is not None and (runs_dir / check_run_id(run_id)).exists():
        raise UsageError(f"There is already a run '{run_id}'.", "Choose another --run-id.")
    notices: list[str] = []
    dataset = None if origin is None else _dataset(origin)
    tokenizer = _tokenizer(foreign, dataset, origin, notices.append)
    loaded = _config(foreign, origin, tokenizer, notices.append)
    payload = _payload(foreign, loaded.config)
    model = build_model(payload)
    # Of the model rather than of the file: layouts and order are then those of training.
    payload["model"] = {name: value.detach() for name, value in trainable_parameters(model)}
    payload["model_args"] = model.args()
    payload["optimizer"] = _optimizer_state(foreign, loaded.config, model, notices.append)
    if dataset is None:
        notices.append(
            "the run has no dataset: it can be sampled and compared, but to train it on, import "
            "with --experiment"
        )
    name = _name(foreign.source) if origin is None else origin.experiment.name
    record: dict[str, Any] = {
        "experiment": name,
        "config": loaded.config.model_dump(mode="json"),
        "provenance": loaded.provenance,
        "parameters": count_parameters(model),
        "imported": {
            "format": foreign.format,
            "source": str(foreign.source.absolute()),
            "step": foreign.step,
            "time": time.time(),
        },
        "environment": describe_environment(
            torch.device("cpu"), "float32", loaded.config.train.runtime, foreign.source.parent
        ),
    }
    if dataset is not None:
        record["dataset"] = dataset.record()
    run = _write(runs_dir, run_id or new_run_id(name), record, payload, tokenizer, foreign.val_loss)
    return Imported(
        run=run,
        step=foreign.step,
        parameters=record["parameters"],
        tokenizer=tokenizer.kind,
        has_optimizer_state=foreign.moments is not None,
        has_dataset=dataset is not None,
        notices=tuple(notices),
    )


def _name(source: Path) -> str:
    """Name of the experiment of a run without one, after the folder that it came from."""
    name = source.absolute().name if source.is_dir() else source.absolute().parent.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:100] or "imported"


def _dataset(origin: Origin) -> Dataset:
    config = origin.loaded.config
    if config.experiment.kind != "gpt":
        raise UsageError(
            f"The experiment '{origin.experiment.name}' finetunes a base model.",
            "Name an experiment that trains a model from scratch (experiment.kind = 'gpt').",
        )
    command = f"tp prepare {origin.experiment.name}"
    return open_dataset(config.prepare.dataset_dir, prepare_command=command)


def _tokenizer(
    foreign: ForeignModel,
    dataset: Dataset | None,
    origin: Origin | None,
    notify: Callable[[str], None],
) -> Tokenizer:
    size: int = foreign.model_args["vocab_size"]
    own = foreign.tokenizer
    if own is not None and own.vocab_size > size:
        raise UsageError(
            f"The tokenizer of {display_path(foreign.source)} has {own.vocab_size:,} tokens, but "
            f"the model only {size:,}.",
            "Put the tokenizer of the model's training data beside it.",
        )
    if dataset is None or origin is None:
        if own is None:
            raise UsageError(
                f"The tokenizer of {display_path(foreign.source)} is unknown: "
                f"{foreign.tokenizer_problem}.",
                "Put its tokenizer beside it, or name the experiment with its training text by "
                "--experiment.",
            )
        return own
    found, name = load_tokenizer(dataset.folder), origin.experiment.name
    if own is None:
        if dataset.vocab_size != size:
            raise UsageError(
                f"The dataset of experiment '{name}' has {dataset.vocab_size:,} tokens, the model "
                f"{size:,}.",
                "Name the experiment with the text that the model was trained on.",
            )
        notify(f"the tokenizer is that of experiment '{name}': {foreign.tokenizer_problem}")
    elif not is_same_tokenizer(own, found):
        raise UsageError(
            f"The dataset of experiment '{name}' has another tokenizer than the model.",
            "Name an experiment with the same text and tokenizer, or leave out --experiment.",
        )
    return found


def _config(
    foreign: ForeignModel,
    origin: Origin | None,
    tokenizer: Tokenizer,
    notify: Callable[[str], None],
) -> LoadedConfig:
    """Settings of the experiment, with the model and the training settings of the foreign one."""
    shape = {key: value for key, value in foreign.model_args.items() if value is not None}
    if shape["vocab_size"] == tokenizer.vocab_size:
        # Left out as in other runs: training fills it in.
        del shape["vocab_size"]
    own: dict[str, Any] = {"prepare": {"tokenizer_type": tokenizer.kind}}
    if tokenizer.kind == "huggingface":
        own = {}
    home = foreign.source.absolute().parent
    if origin is not None:
        home = origin.loaded.path.absolute().parent
        own = saved_settings({"config": origin.loaded.config.model_dump(mode="json")})
        own.pop("model", None)
    source = display_path(foreign.source)
    base = [Layer(_EXPERIMENT, home, own), Layer(source, home, {"model": shape})]
    try:
        stated = [Layer(source, home, foreign.settings)] if foreign.settings else []
        loaded = combine([*base, *stated], path=home, home=home, project=home)
    except ConfigError as error:
        if not foreign.settings:
            raise
        loaded = combine(base, path=home, home=home, project=home)
        notify(f"the training settings of the checkpoint are not used: {error.message}")
    return dataclasses.replace(loaded, provenance=dict(_provenance(loaded, origin)))


def _provenance(loaded: LoadedConfig, origin: Origin | None) -> Iterator[tuple[str, str]]:
    recorded = {} if origin is None else origin.loaded.provenance
    for key, source in loaded.provenance.items():
        if source != _EXPERIMENT:
            yield key, source
        elif key in recorded:
            yield key, recorded[key]


def _payload(foreign: ForeignModel, config: ExperimentConfig) -> dict[str, Any]:
    data, runtime = config.train.data, config.train.runtime
    is_known = "batch_size" in foreign.settings.get("train", {}).get("data", {})
    windows = foreign.step * data.batch_size * data.grad_accum_steps if is_known else 0
    state = TrainingState(
        step=foreign.step,
        windows_drawn=windows,
        tokens_seen=windows * config.train_block_size,
    )
    return weights_payload(foreign.weights, foreign.model_args, step=state.step) | {
        "tokens_seen": state.tokens_seen,
        "generators": {"scheme": RANDOMNESS_SCHEME, "seed": runtime.seed},
        "batch_cursor": state.windows_drawn,
        "progress": dataclasses.asdict(state),
        "config": config.model_dump(mode="json"),
    }


def _optimizer_state(
    foreign: ForeignModel,
    config: ExperimentConfig,
    model: LanguageModel,
    notify: Callable[[str], None],
) -> dict[str, Any]:
    """State of the configured optimizers, with AdamW's averages where the model has some."""
    named = trainable_parameters(model)
    optimizers = build_optimizers(config.train.optim, named, model.hidden_matrices())
    moments, problem = foreign.moments, foreign.moments_problem
    if not all(isinstance(optimizer, torch.optim.AdamW) for optimizer in optimizers):
        moments, problem = None, problem or f"the settings say {config.train.optim.optimizer}"
    if problem:
        notify(f"the optimizer starts without state: {problem}")
    if moments is not None:
        by_tensor = {tensor: moments[name] for name, tensor in named}
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                for tensor in group["params"]:
                    optimizer.state[tensor] = _adamw_state(tensor, by_tensor[tensor])
    return optimizers.state_dict()


def _adamw_state(parameter: torch.Tensor, moments: Moments) -> dict[str, torch.Tensor]:
    def as_stored(values: torch.Tensor) -> torch.Tensor:
        # The fused optimizer walks through memory: layouts must be those of the parameter.
        return torch.empty_like(parameter, requires_grad=False).copy_(values)

    return {
        "step": torch.tensor(float(moments.step)),
        "exp_avg": as_stored(moments.exp_avg),
        "exp_avg_sq": as_stored(moments.exp_avg_sq),
    }


def _write(
    runs_dir: Path,
    run_id: str,
    record: Mapping[str, Any],
    payload: Mapping[str, Any],
    tokenizer: Tokenizer,
    val_loss: float | None,
) -> RunFolder:
    """Write the run in a hidden folder and move it into place."""
    remove_abandoned(runs_dir, _UNFINISHED)
    hidden = runs_dir / f".{run_id}.{secrets.token_hex(4)}.tmp"
    try:
        run = create_run(hidden, run_id, record)
        with translate_os_errors(RunError, f"The run '{run_id}' could not be written"):
            tokenizer.save(run.tokenizer)
        store = CheckpointStore(run.checkpoints, keep_last=1, keep_best=1)
        store.save(payload, step=payload["step"], last=True, best_metric=None)
        _write_metrics(run, payload, val_loss)
        write_summary(run)
        with translate_os_errors(RunError, f"The run '{run_id}' could not be moved into place"):
            move_into_place(run.root, runs_dir / run_id)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(hidden, ignore_errors=True)
    return RunFolder(runs_dir / run_id)


def _write_metrics(run: RunFolder, payload: Mapping[str, Any], val_loss: float | None) -> None:
    step, config = payload["step"], payload["config"]
    is_finished = step >= config["train"]["runtime"]["max_iters"]
    now = time.time()
    end = {
        "event": "status",
        "step": step,
        "time": now,
        "status": "finished" if is_finished else "stopped",
        "early_stopped": False,
        "best_val_loss": val_loss,
        "best_step": None if val_loss is None else step,
        "tokens_seen": payload["tokens_seen"],
        "wall_time": 0.0,
    }
    with JsonlWriter(run.metrics_path) as rows:
        if val_loss is not None:
            rows.append({"event": "eval", "step": step, "time": now, "val_loss": val_loss})
        rows.append(end)
        rows.sync()
