"""Weights of a class of transformers as those of our model: the export's mapping inverted.

The export places each of our weights somewhere in the tensors of a class, perhaps more than once,
and fills the rest with zeros and ones. Mapping numbers instead of weights shows where, so that no
second table is needed. The result is mapped forwards again and must be the file, bit for bit.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import ModelError
from transformer_playground.export.hf.mapping import HfClass
from transformer_playground.export.hf.target import complete
from transformer_playground.importing.hf_settings import rebuilt, shortest_ratio
from transformer_playground.model.gpt import GPT

# Constants that the export fills in are smaller.
_FIRST_NUMBER = 2


def read_weights(
    row: HfClass, config: ModelConfig, found: Mapping[str, Tensor], source: str
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The weights, and the simplest settings with which the export makes the same tensors.

    Args:
        row: The class.
        config: From `model_settings`.
        found: The tensors of the class in float32.
        source: The folder, for errors.

    Raises:
        ModelError: A tensor holds what our model has no weights for.
    """
    weights, problem = _fit(row, config, found)
    if weights is None:
        raise ModelError(
            f"{source} cannot be imported: the values of its tensor {problem} have no counterpart "
            "in [model]."
        )
    for change in _simpler(row, config, found):
        simpler = config.model_copy(update=change)
        own, _ = _fit(row, simpler, found)
        if own is not None:
            config, weights = simpler, own
    return config, weights


def _simpler(
    row: HfClass, config: ModelConfig, found: Mapping[str, Tensor]
) -> Iterator[dict[str, Any]]:
    """Changes to try in turn: what the class can only state as zeros, ones or repetitions."""
    if row.name == "GPT2LMHeadModel":
        yield {"bias": False}
        for encoding in ("none", "sinusoidal"):
            yield {"positional_encoding": encoding}
    if row.name == "MptForCausalLM":
        rows = [
            int(tensor.any(dim=1).nonzero().max()) + 1
            for name, tensor in found.items()
            if name.endswith("ffn.up_proj.weight") and tensor.any()
        ]
        yield {"mlp_ratio": shortest_ratio(max(rows, default=1), config.n_embd)}
    if row.name in ("GPT2LMHeadModel", "GPTNeoXForCausalLM", "MptForCausalLM"):
        # The last one that fits wins: fewest heads of keys and values.
        for heads in range(config.n_head - 1, 0, -1):
            if config.n_head % heads == 0:
                yield {"n_kv_head": heads}
    if row.name == "MptForCausalLM" or config.mlp_hidden == 1:
        # A class without a serial form of its own is that of a parallel model.
        yield {"mlp_enabled": False}


def _fit(
    row: HfClass, config: ModelConfig, found: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor] | None, str]:
    """Weights with which the export makes the tensors; or None and the tensor that differs."""
    assert config.vocab_size is not None
    model = GPT(config, config.vocab_size)
    parameters = dict(model.named_parameters())
    count = _FIRST_NUMBER + sum(tensor.numel() for tensor in parameters.values())
    with torch.no_grad():
        places = row.tensors(_numbered(config))
        flat = torch.full((count,), float("nan"))
        for name, numbers in places.items():
            if name not in found or found[name].shape != numbers.shape:
                return None, name
            own = numbers >= _FIRST_NUMBER
            flat[numbers[own].long()] = found[name][own]
        start = _FIRST_NUMBER
        for parameter in parameters.values():
            end = start + parameter.numel()
            parameter.copy_(flat[start:end].view(parameter.shape))
            start = end
        expected = complete(row, rebuilt(row, config), row.tensors(model))
    for name, tensor in expected.items():
        if name not in found or not torch.equal(tensor, found[name]):
            return None, name
    return {name: parameter.detach() for name, parameter in parameters.items()}, ""


def _numbered(config: ModelConfig) -> GPT:
    """A model with a different number as each of its weights, exact in float64."""
    assert config.vocab_size is not None
    model = GPT(config, config.vocab_size).double()
    start = _FIRST_NUMBER
    for tensor in model.parameters():
        end = start + tensor.numel()
        tensor.copy_(torch.arange(start, end, dtype=torch.float64).view(tensor.shape))
        start = end
    return model
