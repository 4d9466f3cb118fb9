"""nanoGPT: its `ckpt.pt` with optimizer state, training settings and tokenizer.

nanoGPT (github.com/karpathy/nanoGPT) keeps checkpoints in an output folder, `out-NAME/ckpt.pt`, and
the tokenizer of a dataset in `data/NAME/meta.pkl`; without that file it uses GPT-2's tokenizer.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer_playground.checkpoints.format import NANOGPT_NAME
from transformer_playground.checkpoints.loading import load_nanogpt
from transformer_playground.checkpoints.nanogpt import parameter_names
from transformer_playground.data.meta import META_FILE
from transformer_playground.data.tokenizers import Tokenizer, load_tokenizer
from transformer_playground.data.tokenizers.gpt2 import VOCAB_SIZE, Gpt2Tokenizer
from transformer_playground.importing.foreign import ForeignModel, Moments
from transformer_playground.jsonvalues import as_number, as_object, as_text

# nanoGPT pads GPT-2's vocabulary to a multiple of 64.
_GPT2_SIZES = range(VOCAB_SIZE, VOCAB_SIZE + 64)
# Settings of the same meaning: nanoGPT's name -> the table of [train] and the name there.
_SETTINGS = {
    "batch_size": ("data", "batch_size"),
    "gradient_accumulation_steps": ("data", "grad_accum_steps"),
    "learning_rate": ("optim", "learning_rate"),
    "weight_decay": ("optim", "weight_decay"),
    "beta1": ("optim", "beta1"),
    "beta2": ("optim", "beta2"),
    "grad_clip": ("optim", "grad_clip"),
    "warmup_iters": ("schedule", "warmup_iters"),
    "lr_decay_iters": ("schedule", "lr_decay_iters"),
    "min_lr": ("schedule", "min_lr"),
    "max_iters": ("runtime", "max_iters"),
    "eval_interval": ("runtime", "eval_interval"),
    "log_interval": ("runtime", "log_interval"),
}


def find_checkpoint(path: Path) -> Path | None:
    """The nanoGPT checkpoint that a path names: a file, or `ckpt.pt` in a folder."""
    if path.is_dir():
        inside = path / NANOGPT_NAME
        return inside if inside.is_file() else None
    return path if path.is_file() else None


def read_nanogpt(path: Path) -> ForeignModel:
    """Read a nanoGPT checkpoint file.

    Raises:
        CheckpointError: It is damaged, or not a checkpoint of nanoGPT.
        DataError: The `meta.pkl` of its dataset is damaged.
    """
    content, payload = load_nanogpt(path)
    weights: dict[str, Tensor] = {
        # A weight may share its memory with others or be saved in a lower precision.
        name: tensor.detach().float()
        for name, tensor in payload["model"].items()
    }
    stated = as_object(content.get("config"))
    tokenizer, problem = _tokenizer(path, stated, payload["model_args"]["vocab_size"])
    moments, reason = _moments(content, weights, payload["step"])
    train = _train_settings(stated, has_moments=moments is not None)
    is_best = stated.get("always_save_checkpoint") is False
    return ForeignModel(
        source=path,
        format="nanogpt",
        model_args=payload["model_args"],
        weights=weights,
        tokenizer=tokenizer,
        tokenizer_problem=problem,
        step=max(payload["step"], 0),
        moments=moments,
        moments_problem=reason,
        settings={"train": train} if train else {},
        # The best loss so far belongs to these weights only if no worse ones are saved.
        val_loss=_number(content.get("best_val_loss")) if is_best else None,
    )


def _number(value: object) -> float | None:
    """A loss, which nanoGPT saves as a tensor; None if it was not measured yet."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = float(value)
    number = as_number(value)
    # Its start value is 1e9.
    return number if number is not None and math.isfinite(number) and number < 1e9 else None


def _train_settings(stated: Mapping[str, Any], *, has_moments: bool) -> dict[str, dict[str, Any]]:
    """The `[train]` tables of a run of nanoGPT."""
    tables: dict[str, dict[str, Any]] = {}
    for name, (table, key) in _SETTINGS.items():
        if name in stated:
            tables.setdefault(table, {})[key] = stated[name]
    if type(decays := stated.get("decay_lr")) is bool:
        tables.setdefault("schedule", {})["schedule"] = "cosine" if decays else "constant"
    if has_moments or "optim" in tables:
        tables.setdefault("optim", {}).update(optimizer="adamw", eps=1e-8)
    return tables


def _tokenizer(
    path: Path, stated: Mapping[str, Any], vocab_size: int
) -> tuple[Tokenizer | None, str]:
    """The tokenizer, or why it is unknown."""
    folders = list(_tokenizer_folders(path, as_text(stated.get("dataset"))))
    for folder in folders:
        if (folder / META_FILE).is_file():
            return load_tokenizer(folder), ""
    if vocab_size in _GPT2_SIZES:
        return Gpt2Tokenizer(), ""
    searched = " or ".join(str(folder) for folder in folders)
    return None, f"there is no {META_FILE} in {searched}, and {vocab_size} tokens are not GPT-2's"


def _tokenizer_folders(path: Path, dataset: str | None) -> Iterator[Path]:
    folder = path.absolute().parent
    yield folder
    # The name is only looked up beside the output folder, wherever the file says.
    if (
        dataset
        and Path(dataset).name == dataset
        and dataset not in (".", "..")
        and "\0" not in dataset
    ):
        yield folder.parent / "data" / dataset


def _moments(
    content: Mapping[str, Any], weights: Mapping[str, Tensor], step: int
) -> tuple[dict[str, Moments] | None, str]:
    """AdamW's state by our names, or why there is none."""
    optimizer = as_object(content.get("optimizer"))
    states, groups = optimizer.get("state"), optimizer.get("param_groups")
    if not states or not isinstance(states, dict) or not isinstance(groups, list):
        return None, "the checkpoint has none" if step > 0 else ""
    names = parameter_names(content)
    # Decayed matrices are the first group of parameters and vectors the second.
    matrices = [name for name in names if weights[name].dim() >= 2]
    vectors = [name for name in names if weights[name].dim() < 2]
    ids = [params for group in groups if isinstance(params := as_object(group).get("params"), list)]
    if [*map(len, ids)] != [len(matrices), len(vectors)]:
        return None, "its parameter groups are not those of nanoGPT"
    found: dict[str, Moments] = {}
    for name, number in zip([*matrices, *vectors], [*ids[0], *ids[1]], strict=True):
        moments = _moments_of(as_object(states.get(number)), weights[name])
        if moments is None:
            return None, f"its state of '{name}' is not AdamW's"
        found[name] = moments
    return found, ""


def _moments_of(state: Mapping[str, Any], weight: Tensor) -> Moments | None:
    step = _number(state.get("step"))
    averages = [state.get("exp_avg"), state.get("exp_avg_sq")]
    if step is None or step < 0:
        return None
    first, second = averages
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return None
    if first.shape != weight.shape or second.shape != weight.shape:
        return None
    return Moments(step, first.to(torch.float32), second.to(torch.float32))
