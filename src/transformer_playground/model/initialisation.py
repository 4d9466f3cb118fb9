"""Every weight's first value, in one place."""

import math

import torch
from torch import nn

from transformer_playground.config.model import ModelConfig
from transformer_playground.model.block import Block
from transformer_playground.model.positions import embedding_std


@torch.no_grad()
def initialise(
    model: nn.Module, config: ModelConfig, generator: torch.Generator | None = None
) -> None:
    """Fill all parameters of `model` in a fixed order.

    - Norm gains are 1, biases 0.
    - Matrices inside the blocks are N(0, init_std); those which write into the residual stream
      are N(0, s / sqrt(branches)), so that its variance does not grow with depth (Radford et al.
      2019, GPT-2), or 0 with `zero_init_output` (Zhang et al. 2019, "Fixup"). s is the standard
      deviation of the embeddings, lest the branches drown them.
    - Embeddings and the head are small enough that untrained logits are near 0 at any width:
      the untrained loss is ln(vocab_size).

    Args:
        model: The transformer to fill.
        config: Its configuration.
        generator: Source of all randomness, on the CPU; None = one seeded with 0. The global
            generator is neither read nor moved.
    """
    generator = generator or torch.Generator().manual_seed(0)
    outputs = _branch_outputs(model)
    output_std = 0.0 if config.zero_init_output else embedding_std(config) / math.sqrt(len(outputs))
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        if name in ("token_embedding.weight", "positions.weight"):
            std = embedding_std(config)
        elif name == "head.weight":
            std = head_std(config)
        else:
            std = output_std if id(parameter) in outputs else config.init_std
        parameter.normal_(0.0, std, generator=generator)


def head_std(config: ModelConfig) -> float:
    """Standard deviation of an untied head: its logits, sums of n_embd terms, stay within 1/4."""
    return min(config.init_std, 0.25 / math.sqrt(config.n_embd))


def _branch_outputs(model: nn.Module) -> set[int]:
    """Identities of the matrices that write into the residual stream."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    layers = [block.attention.output for block in blocks]
    layers += [block.mlp.down for block in blocks if block.mlp is not None]
    return {id(layer.weight) for layer in layers}
