"""What a reader should know about a module beside its class: heads, activation, ties, start."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import ModelError
from transformer_playground.finetuning.checks import heads_are_tied
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.inspection.parts import is_norm, parts_of
from transformer_playground.inspection.weights import input_width
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.gpt import GPT


def module_notes(model: LanguageModel) -> dict[str, str]:
    """Short descriptions by module name; the whole model has the name "".

    Ties of parameters and initialisations that differ from that of other matrices are among them.
    """
    names = {module: name for name, module in model.named_modules()}
    if isinstance(model, GPT):
        found = dict(_gpt_notes(model))
    elif isinstance(model, AdapterModel):
        found = dict(_adapter_notes(model))
    else:
        found = {}
    found |= {each: type(each).__name__.lower() for each in names if is_norm(each)}
    return {names[module]: text for module, text in found.items() if text}


def _gpt_notes(model: GPT) -> Iterator[tuple[nn.Module, str]]:
    config = model.config
    branches = config.n_layer * (2 if config.mlp_enabled else 1)
    start = "starts at zero" if config.zero_init_output else f"initial std / √{branches}"
    parallel = ", parallel branches" if config.parallel_residual else ""
    softcap = f", softcap {config.logit_softcap:g}" if config.logit_softcap else ""
    yield model, f"{config.norm_position}-norm{parallel}{softcap}"
    if model.head is None:
        yield model.token_embedding, "tied: also the head"
    heads = ", ".join(_attention_facts(config))
    for layer in parts_of(model).layers:
        yield layer.attention, heads
        yield layer.attention_output, start
        if layer.mlp is not None and layer.mlp_output is not None:
            yield layer.mlp, f"{config.activation} {_widths(config.n_embd, config.mlp_hidden)}"
            yield layer.mlp_output, start


def _attention_facts(config: ModelConfig) -> Iterator[str]:
    yield _heads(config.n_head, config.kv_heads, config.head_dim)
    if config.positional_encoding in ("rope", "alibi"):
        yield config.positional_encoding
    if config.qk_norm:
        yield "qk-norm"
    if config.attention_window is not None:
        yield f"window {config.attention_window:,}"


def _heads(queries: int, keys: int, width: int) -> str:
    shared = "" if keys == queries else f" ({keys} key/value)"
    return f"{queries} {'head' if queries == 1 else 'heads'}{shared} × {width}"


def _widths(width: int, hidden: int) -> str:
    return f"{width} → {hidden} → {width}"


def _adapter_notes(model: AdapterModel) -> Iterator[tuple[nn.Module, str]]:
    base: Any = model.base
    peft = model.model_args.peft
    yield model, f"LoRA rank {peft.r}, alpha {peft.lora_alpha:g}"
    if heads_are_tied(base):
        yield base.get_input_embeddings(), "tied: also the head"
    config = base.config.get_text_config()
    queries = config.num_attention_heads
    keys = getattr(config, "num_key_value_heads", None) or queries
    activation = next(
        (
            value
            for name in ("hidden_act", "hidden_activation", "activation_function")
            if isinstance(value := getattr(config, name, None), str)
        ),
        "",
    )
    try:
        layers = parts_of(model).layers
    except ModelError:
        # The tree says which parts are not known.
        return
    for layer in layers:
        width = input_width(layer.attention_output) // queries
        yield layer.attention, _heads(queries, keys, width)
        if layer.mlp is not None and layer.mlp_output is not None:
            hidden = input_width(layer.mlp_output)
            yield layer.mlp, f"{activation} {_widths(config.hidden_size, hidden)}".strip()
