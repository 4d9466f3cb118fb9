"""Tiny adapted models, made the way training makes them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.finetuning.base_model import load_base
from transformer_playground.finetuning.build import adapt
from transformer_playground.finetuning.model import AdapterModel

CPU = torch.device("cpu")
END = 0
"""The id of the end token in every tokenizer of `build_tokenizer` that has one."""


def adapted_model(
    folder: Path,
    *,
    added: int = 0,
    block_size: int = 64,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    hf: dict[str, Any] | None = None,
    **peft: Any,
) -> AdapterModel:
    """A base model from disk with untrained adapters, in evaluation mode.

    Args:
        folder: What `build_model_folder` gave.
        added: Number of new tokens, with ids right behind the tokenizer's.
        block_size: Longest context.
        seed: Of the adapters.
        dtype: Of the frozen weights.
        hf: Settings of `[hf_model]`.
        peft: Settings of `[peft]`; dropout is off unless stated.
    """
    config = HfModelConfig(model_name=str(folder), **(hf or {}))
    tokens = vocabulary(folder)
    return adapt(
        load_base(config, device=CPU, dtype=dtype),
        PeftConfig(**({"lora_dropout": 0.0} | peft)),
        hf=config,
        new_tokens=range(tokens, tokens + added),
        vocab_size=tokens + added,
        block_size=block_size,
        end_token=END,
        seed=seed,
    ).eval()


def vocabulary(folder: Path) -> int:
    """Number of tokens of a model folder's tokenizer."""
    from tokenizers import Tokenizer

    return int(Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size())


def stir(model: AdapterModel, seed: int = 0) -> AdapterModel:
    """Move every trained weight, as training would: adapters are born without any effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.trained().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


def some_tokens(model: AdapterModel, batch: int = 2, length: int = 12, seed: int = 0) -> Tensor:
    """Random tokens (batch, length) of the model's whole vocabulary but `END`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(END + 1, model.vocab_size, (batch, length), generator=generator)
