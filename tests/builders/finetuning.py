"""Tiny finetuned runs: a pretrained model of two layers, a dozen short documents, some steps."""

from pathlib import Path
from typing import Any

from builders.base_models import Architecture, build_model_folder
from builders.commands import Project
from builders.training import merged
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.prepare import prepare_dataset
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.run import TrainingRequest, TrainingResult, start

LINES = [f"The cat sat by the wheel {number} times and watched." for number in range(12)]

CONFIG = """\
[experiment]
kind = "lora"

[prepare]
tokenizer_type = "huggingface"
documents = "lines"
val_fraction = 0.2

[hf_model]
model_name = "./tiny-qwen2"
block_size = 24

[peft]
r = 4
lora_dropout = 0.0

[train.data]
batch_size = 4

[train.optim]
learning_rate = 1e-2

[train.schedule]
warmup_iters = 2
min_lr = 1e-3

[train.runtime]
max_iters = 8
eval_interval = 4
eval_iters = 2
device = "cpu"
tensorboard = false
auto_plot = false
auto_report = false

[sample.runtime]
dtype = "auto"

[sample.sample]
start = "The cat"
max_new_tokens = 6
"""

BASE: dict[str, Any] = {
    "experiment": {"kind": "lora"},
    "prepare": {"tokenizer_type": "huggingface", "documents": "lines", "val_fraction": 0.2},
    "hf_model": {"block_size": 24, "dtype": "float32"},
    "peft": {"r": 4, "lora_dropout": 0.0, "extend_mlp_targets": True},
    "train": {
        "data": {"batch_size": 4},
        "optim": {"learning_rate": 1e-2, "weight_decay": 0.0},
        "schedule": {"warmup_iters": 1, "min_lr": 1e-3},
        "runtime": {
            "max_iters": 12,
            "eval_interval": 4,
            "eval_iters": 2,
            "log_interval": 1,
            "device": "cpu",
            "tensorboard": False,
            "auto_plot": False,
            "auto_report": False,
        },
    },
    "sample": {"sample": {"start": "The cat", "max_new_tokens": 8}},
}


def lora_config(
    folder: Path, architecture: Architecture = "qwen2", *changes: dict[str, Any]
) -> ExperimentConfig:
    """A valid configuration whose base model and dataset lie below `folder`."""
    models, raw = folder / "models", folder / "raw"
    base = models / f"tiny-{architecture}"
    if not base.exists():
        models.mkdir(parents=True, exist_ok=True)
        build_model_folder(architecture, models)
    raw.mkdir(exist_ok=True)
    if not any(raw.iterdir()):
        (raw / "lines.txt").write_text("\n".join(LINES), encoding="utf-8")
    paths = {
        "prepare": {"raw_dir": str(raw), "dataset_dir": str(folder / f"datasets-{architecture}")},
        "hf_model": {"model_name": str(base)},
    }
    config = ExperimentConfig.model_validate(merged(BASE, paths, *changes))
    prepare_dataset(config.prepare, hf_model=config.hf_model, report=lambda _: None)
    return config


def lora_request(
    folder: Path, architecture: Architecture = "qwen2", *changes: dict[str, Any]
) -> TrainingRequest:
    """The request of a tiny finetuning experiment with its dataset prepared."""
    return TrainingRequest(
        "tiny", lora_config(folder, architecture, *changes), {}, folder, "tp prepare tiny"
    )


def finetune(
    folder: Path,
    architecture: Architecture = "qwen2",
    *changes: dict[str, Any],
    run_id: str = "run",
    sinks: Any = (),
    control: TrainingControl | None = None,
) -> TrainingResult:
    """Finetune a new tiny run below `folder`."""
    request = lora_request(folder, architecture, *changes)
    return start(request, folder / "runs", run_id=run_id, sinks=sinks, control=control)


def resume_finetuning(
    folder: Path,
    architecture: Architecture = "qwen2",
    *changes: dict[str, Any],
    run_id: str = "run",
    notices: list[str] | None = None,
) -> TrainingResult:
    """Continue a tiny finetuned run below `folder`."""
    return start(
        lora_request(folder, architecture, *changes),
        folder / "runs",
        resume_from=run_id,
        notify=(notices if notices is not None else []).append,
    )


def make_finetuning_project(root: Path, architecture: Architecture = "qwen2") -> Project:
    """A project with the one experiment `tiny`, which finetunes the model in its own folder."""
    project = Project(root)
    (project.experiment / "raw").mkdir(parents=True)
    config = CONFIG.replace("tiny-qwen2", f"tiny-{architecture}")
    (project.experiment / "config.toml").write_text(config, encoding="utf-8")
    (project.experiment / "raw" / "lines.txt").write_text("\n".join(LINES), encoding="utf-8")
    build_model_folder(architecture, project.experiment)
    return project
