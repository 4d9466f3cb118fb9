"""Where the parts of a model are: one description of our transformer and of Hugging Face models."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.errors import ModelError
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.finetuning.targets import text_prefix
from transformer_playground.model.attention import Attention
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.gpt import GPT

# Names in transformers, the most common first.
_LAYERS = ("layers", "h", "blocks")
_ATTENTION = ("self_attn", "attention", "attn", "self_attention")
_ATTENTION_OUTPUT = ("o_proj", "out_proj", "dense", "c_proj", "wo")
_MLP = ("mlp", "feed_forward", "ffn")
_MLP_OUTPUT = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "w2")
_FINAL_NORM = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "final_norm")


@dataclass(frozen=True)
class LayerParts:
    """Modules of one block.

    Attributes:
        block: Its output is the residual stream after the layer.
        attention: Its output is the attention branch.
        attention_output: Projection whose input is the concatenated outputs of the heads.
        mlp: Its output is the MLP branch; None without MLPs.
        mlp_output: Projection whose input is the activations of the neurons; None without MLPs.
    """

    block: nn.Module
    attention: nn.Module
    attention_output: nn.Module
    mlp: nn.Module | None
    mlp_output: nn.Module | None


@dataclass(frozen=True)
class ModelParts:
    """Parts of a model and the functions that read its residual stream.

    Attributes:
        n_head: Query heads of each layer.
        embeddings: Token embedding matrix (vocab_size, width).
        stream_start: Module at which the residual stream starts, and whether at its output.
        final_norm: Norm before the head; identity if there is none.
        unembed: The head without softcap: (..., width) to (..., vocab_size).
        cap: What follows it: softcap or scale of the logits.
        shows_weights: Context in which the attention modules can give their weights.
    """

    n_head: int
    layers: tuple[LayerParts, ...]
    embeddings: Tensor
    stream_start: tuple[nn.Module, bool]
    final_norm: Callable[[Tensor], Tensor]
    unembed: Callable[[Tensor], Tensor]
    cap: Callable[[Tensor], Tensor]
    shows_weights: Callable[[], AbstractContextManager[None]]

    def readout(self, residual: Tensor) -> Tensor:
        """Logits of a residual stream (..., width), as if it were that after the last layer."""
        return self.cap(self.unembed(self.final_norm(residual)))

    def norms(self) -> Iterator[nn.Module]:
        """Norms through which the residual stream or a branch's output passes, or may pass."""
        for layer in self.layers:
            inside = set(layer.attention.modules())
            yield from (
                module
                for module in layer.block.modules()
                if is_norm(module) and module not in inside
            )
        if isinstance(self.final_norm, nn.Module):
            yield self.final_norm


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation layer, by the name of its class."""
    return type(module).__name__.endswith("Norm")


def parts_of(model: LanguageModel) -> ModelParts:
    """The parts of a model.

    Raises:
        ModelError: The architecture of a base model is not known well enough.
    """
    if isinstance(model, GPT):
        return _gpt_parts(model)
    if isinstance(model, AdapterModel):
        return _transformers_parts(model.base)
    raise ModelError(f"A {type(model).__name__} cannot be inspected.")


def weights_of(module: nn.Module, args: Sequence[Any], output: Any) -> Tensor:
    """Attention weights (B, n_head, T, T) of an attention module that was called."""
    if isinstance(module, Attention):
        return module.weights(args[0], args[1])
    weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
    if weights is None:
        raise ModelError(
            f"The attention of this architecture ({type(module).__name__}) does not give its "
            "weights.",
            "Its other views work.",
        )
    checked: Tensor = weights
    return checked


def _gpt_parts(model: GPT) -> ModelParts:
    layers = tuple(_gpt_layer(block) for block in model.blocks)
    softcap = model.config.logit_softcap

    def unembed(hidden: Tensor) -> Tensor:
        if model.head is None:
            return functional.linear(hidden, model.token_embedding.weight)
        logits: Tensor = model.head(hidden)
        return logits

    return ModelParts(
        n_head=model.config.n_head,
        layers=layers,
        embeddings=model.token_embedding.weight,
        stream_start=(model.dropout, True),
        final_norm=model.final_norm or nn.Identity(),
        unembed=unembed,
        cap=lambda logits: softcap * torch.tanh(logits / softcap) if softcap else logits,
        shows_weights=nullcontext,
    )


def _gpt_layer(block: Any) -> LayerParts:
    mlp = block.mlp
    down = None if mlp is None else mlp.down
    return LayerParts(block, block.attention, block.attention.output, mlp, down)


def _transformers_parts(base: Any) -> ModelParts:
    prefix = text_prefix(base).removesuffix(".")
    decoder = base.get_submodule(prefix) if prefix else base
    config = base.config.get_text_config()
    layers = tuple(_layer_parts(block) for block in _named(decoder, _LAYERS, "layers"))
    head = base.get_output_embeddings()
    return ModelParts(
        n_head=config.num_attention_heads,
        layers=layers,
        embeddings=base.get_input_embeddings().weight,
        stream_start=(layers[0].block, False),
        final_norm=_named(decoder, _FINAL_NORM, "final norm"),
        unembed=head,
        cap=_logit_cap(config),
        shows_weights=lambda: _eager_attention(base),
    )


def _layer_parts(block: nn.Module) -> LayerParts:
    attention = _named(block, _ATTENTION, "attention layer")
    mlp = _named(block, _MLP, "MLP")
    return LayerParts(
        block,
        attention,
        _named(attention, _ATTENTION_OUTPUT, "output projection of attention"),
        mlp,
        _named(mlp, _MLP_OUTPUT, "output projection of the MLP"),
    )


def _named(owner: nn.Module, names: Sequence[str], what: str) -> Any:
    for name in names:
        if isinstance(found := getattr(owner, name, None), nn.Module):
            return found
    children = ", ".join(name for name, _ in owner.named_children())
    raise ModelError(
        f"This base model cannot be inspected: no {what} with a known name in "
        f"{type(owner).__name__}.",
        f"Its parts are {children or 'none'}.",
    )


def _logit_cap(config: Any) -> Callable[[Tensor], Tensor]:
    """What models do with the logits after the head: Gemma caps, Granite and Cohere scale them."""
    cap = getattr(config, "final_logit_softcapping", None)
    divisor = getattr(config, "logits_scaling", None) or 1.0
    factor = (getattr(config, "logit_scale", None) or 1.0) / divisor

    def apply(logits: Tensor) -> Tensor:
        logits = logits * factor
        return cap * torch.tanh(logits / cap) if cap else logits

    return apply


@contextlib.contextmanager
def _eager_attention(base: Any) -> Iterator[None]:
    """Attention that returns its weights, which the fused kernels do not, within the block."""
    before = base.config.get_text_config()._attn_implementation
    base.set_attn_implementation("eager")
    try:
        yield
    finally:
        base.set_attn_implementation(before)
