"""The same weights in transformers' models give the same logits."""

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from builders.models import tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.model.gpt import GPT

_VOCAB = 97
_LENGTH = 48


def _from_gpt2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """GPT-2 stores its linear layers transposed."""
    ours = {
        "token_embedding.weight": state["transformer.wte.weight"],
        "positions.weight": state["transformer.wpe.weight"],
        "final_norm.weight": state["transformer.ln_f.weight"],
        "final_norm.bias": state["transformer.ln_f.bias"],
    }
    parts = {
        "ln_1": "attention_norm",
        "attn.c_attn": "attention.qkv",
        "attn.c_proj": "attention.output",
        "ln_2": "mlp_norm",
        "mlp.c_fc": "mlp.up",
        "mlp.c_proj": "mlp.down",
    }
    for name, tensor in state.items():
        if not name.startswith("transformer.h."):
            continue
        layer, rest = name.removeprefix("transformer.h.").split(".", 1)
        part, kind = rest.rsplit(".", 1)
        if part in parts:
            ours[f"blocks.{layer}.{parts[part]}.{kind}"] = tensor.t()
    return ours


def _from_llama(state: dict[str, Tensor], n_layer: int) -> dict[str, Tensor]:
    ours = {
        "token_embedding.weight": state["model.embed_tokens.weight"],
        "final_norm.weight": state["model.norm.weight"],
        "head.weight": state["lm_head.weight"],
    }
    parts = {
        "input_layernorm": "attention_norm",
        "self_attn.o_proj": "attention.output",
        "post_attention_layernorm": "mlp_norm",
        "mlp.gate_proj": "mlp.gate",
        "mlp.up_proj": "mlp.up",
        "mlp.down_proj": "mlp.down",
    }
    for layer in range(n_layer):
        theirs, mine = f"model.layers.{layer}", f"blocks.{layer}"
        for part, name in parts.items():
            ours[f"{mine}.{name}.weight"] = state[f"{theirs}.{part}.weight"]
        ours[f"{mine}.attention.qkv.weight"] = torch.cat(
            [state[f"{theirs}.self_attn.{part}_proj.weight"] for part in "qkv"]
        )
    return ours


def _shake(model: torch.nn.Module) -> None:
    """Move every weight, so that biases and gains count and logits are not tiny."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))


@torch.inference_mode()
def test_gpt2_settings_reproduce_gpt2() -> None:
    reference = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=_VOCAB,
            n_positions=_LENGTH,
            n_embd=64,
            n_layer=3,
            n_head=4,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).eval()
    _shake(reference)
    config = ModelConfig(
        n_layer=3,
        n_head=4,
        n_embd=64,
        block_size=_LENGTH,
        bias=True,
        positional_encoding="learned",
        norm="layernorm",
        norm_eps=1e-5,
        activation="gelu_tanh",
        tie_embeddings=True,
    )
    model = GPT(config, _VOCAB).eval()
    model.load_state_dict(_from_gpt2(reference.state_dict()))
    tokens = tokens_of(0, 2, _LENGTH, _VOCAB)
    expected = reference(tokens).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(model(tokens), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@torch.inference_mode()
def test_llama_settings_reproduce_llama(kv_heads: int) -> None:
    reference = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=_VOCAB,
            hidden_size=64,
            intermediate_size=176,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=kv_heads,
            max_position_embeddings=_LENGTH,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).eval()
    _shake(reference)
    config = ModelConfig(
        n_layer=3,
        n_head=4,
        n_kv_head=kv_heads,
        n_embd=64,
        block_size=_LENGTH,
        bias=False,
        positional_encoding="rope",
        rope_theta=500.0,
        norm="rmsnorm",
        norm_eps=1e-6,
        activation="swiglu",
        mlp_ratio=176 / 64,
        tie_embeddings=False,
    )
    model = GPT(config, _VOCAB).eval()
    model.load_state_dict(_from_llama(reference.state_dict(), 3))
    tokens = tokens_of(0, 2, _LENGTH, _VOCAB)
    expected = reference(tokens).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(model(tokens), expected, rtol=1e-5, atol=1e-5)
