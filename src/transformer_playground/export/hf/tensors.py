"""The tensors of our transformer under the names and in the layouts of transformers' classes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from transformer_playground.config.model import ModelConfig
from transformer_playground.export.weights import Affine, layer_weights, position_table
from transformer_playground.model.gpt import GPT

Named = Iterator[tuple[str, Tensor]]


def _put(name: str, part: Affine) -> Named:
    yield f"{name}.weight", part.weight
    if part.bias is not None:
        yield f"{name}.bias", part.bias


def _transposed(name: str, part: Affine) -> Named:
    """For GPT-2's layers, which store (inputs, outputs)."""
    return _put(name, Affine(part.weight.t(), part.bias))


def _joined(*parts: Affine) -> Affine:
    biases = [part.bias for part in parts if part.bias is not None]
    weight = torch.cat([part.weight for part in parts])
    return Affine(weight, torch.cat(biases) if biases else None)


def _final_norm(model: GPT) -> Affine:
    norm = model.final_norm
    assert norm is not None
    state = {name: tensor.detach() for name, tensor in norm.named_parameters()}
    return Affine(state["weight"], state.get("bias"))


def _ends(model: GPT, *, embedding: str, norm: str, head: str) -> Named:
    yield f"{embedding}.weight", model.token_embedding.weight.detach()
    yield from _put(norm, _final_norm(model))
    if model.head is not None:
        yield f"{head}.weight", model.head.weight.detach()


def gpt2(model: GPT) -> dict[str, Tensor]:
    """GPT-2: positions as a table, and keys and values repeated for grouped queries."""

    def named() -> Named:
        yield from _ends(
            model, embedding="transformer.wte", norm="transformer.ln_f", head="lm_head"
        )
        yield "transformer.wpe.weight", position_table(model)
        for index, layer in enumerate(layer_weights(model, repeat_heads=True)):
            at = f"transformer.h.{index}"
            yield from _put(f"{at}.ln_1", layer.attention_norm)
            heads = _joined(layer.query, layer.key, layer.value)
            yield from _transposed(f"{at}.attn.c_attn", heads)
            yield from _transposed(f"{at}.attn.c_proj", layer.output)
            yield from _put(f"{at}.ln_2", layer.mlp_norm)
            yield from _transposed(f"{at}.mlp.c_fc", layer.up)
            yield from _transposed(f"{at}.mlp.c_proj", layer.down)

    return dict(named())


def _decoder(model: GPT, *, up: str, down: str, gate: str = "") -> dict[str, Tensor]:
    shares_norm = model.config.parallel_residual and model.config.mlp_enabled

    def named() -> Named:
        yield from _ends(model, embedding="model.embed_tokens", norm="model.norm", head="lm_head")
        for index, layer in enumerate(layer_weights(model)):
            at = f"model.layers.{index}"
            yield from _put(f"{at}.input_layernorm", layer.attention_norm)
            yield from _put(f"{at}.self_attn.q_proj", layer.query)
            yield from _put(f"{at}.self_attn.k_proj", layer.key)
            yield from _put(f"{at}.self_attn.v_proj", layer.value)
            yield from _put(f"{at}.self_attn.o_proj", layer.output)
            if not shares_norm:
                yield from _put(f"{at}.post_attention_layernorm", layer.mlp_norm)
            yield from _put(f"{at}.mlp.{up}", layer.up)
            if gate:
                yield from _put(f"{at}.mlp.{gate}", layer.gate or layer.up)
            yield from _put(f"{at}.mlp.{down}", layer.down)

    return dict(named())


def gated_decoder(model: GPT) -> dict[str, Tensor]:
    """Llama, Mistral, Qwen 3 and StableLM."""
    return _decoder(model, up="up_proj", down="down_proj", gate="gate_proj")


def plain_decoder(model: GPT) -> dict[str, Tensor]:
    """Arcee."""
    return _decoder(model, up="up_proj", down="down_proj")


def starcoder2(model: GPT) -> dict[str, Tensor]:
    """StarCoder 2."""
    return _decoder(model, up="c_fc", down="c_proj")


def gpt_neox(model: GPT) -> dict[str, Tensor]:
    """GPT-NeoX: the shared norm twice, and query, key and value of each head together."""

    def named() -> Named:
        yield from _ends(
            model,
            embedding="gpt_neox.embed_in",
            norm="gpt_neox.final_layer_norm",
            head="lm_head",
        )
        for index, layer in enumerate(layer_weights(model, repeat_heads=True)):
            at = f"gpt_neox.layers.{index}"
            heads = _interleaved(model.config, layer.query, layer.key, layer.value)
            yield from _put(f"{at}.input_layernorm", layer.attention_norm)
            yield from _put(f"{at}.post_attention_layernorm", layer.mlp_norm)
            yield from _put(f"{at}.attention.query_key_value", heads)
            yield from _put(f"{at}.attention.dense", layer.output)
            yield from _put(f"{at}.mlp.dense_h_to_4h", layer.up)
            yield from _put(f"{at}.mlp.dense_4h_to_h", layer.down)

    return dict(named())


def _interleaved(config: ModelConfig, *parts: Affine) -> Affine:
    def stack(rows: list[Tensor]) -> Tensor:
        shape = config.n_head, config.head_dim
        heads = [part.reshape(*shape, *part.shape[1:]) for part in rows]
        return torch.cat(heads, dim=1).flatten(0, 1)

    biases = [part.bias for part in parts if part.bias is not None]
    return Affine(stack([part.weight for part in parts]), stack(biases) if biases else None)


def mpt(model: GPT) -> dict[str, Tensor]:
    """MPT, whose MLP is four times as wide as the embedding: a narrower one gets zeros."""
    width = model.config.n_embd

    def widened(part: Tensor, dim: int) -> Tensor:
        shape = list(part.shape)
        shape[dim] = 4 * width - shape[dim]
        return torch.cat((part, part.new_zeros(shape)), dim=dim)

    def named() -> Named:
        yield from _ends(
            model, embedding="transformer.wte", norm="transformer.norm_f", head="lm_head"
        )
        for index, layer in enumerate(layer_weights(model, repeat_heads=True)):
            at = f"transformer.blocks.{index}"
            yield from _put(f"{at}.norm_1", layer.attention_norm)
            yield from _put(f"{at}.attn.Wqkv", _joined(layer.query, layer.key, layer.value))
            yield from _put(f"{at}.attn.out_proj", layer.output)
            yield from _put(f"{at}.norm_2", layer.mlp_norm)
            yield f"{at}.ffn.up_proj.weight", widened(layer.up.weight, 0)
            yield f"{at}.ffn.down_proj.weight", widened(layer.down.weight, 1)

    return dict(named())
