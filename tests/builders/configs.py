"""Tiny experiments on disk and their configurations."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from transformer_playground.config.loading import load_config
from transformer_playground.config.schema import ExperimentConfig

TINY_TOML = """\
[experiment]
description = "two layers on a few words"

[model]
n_layer = 2
n_head = 2
n_embd = 16
block_size = 8

[train.data]
batch_size = 4

[train.schedule]
warmup_iters = 2

[train.runtime]
max_iters = 10
eval_interval = 5
eval_iters = 2
log_interval = 1
device = "cpu"
dtype = "float32"
threads = 1
tensorboard = false

[sample.sample]
max_new_tokens = 8
"""


def write_experiment(
    experiments_dir: Path,
    name: str = "tiny",
    config: str = TINY_TOML,
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write `experiments_dir/name` with its config.toml and any other `files`; give the folder."""
    folder = experiments_dir / name
    for relative, text in {"config.toml": config, **(files or {})}.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def tiny_config(folder: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The configuration of a tiny experiment in `folder`, changed by `key=value` overrides."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(TINY_TOML, encoding="utf-8")
    return load_config(path, overrides=overrides).config
