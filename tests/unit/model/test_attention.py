import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from builders.models import architectures, lively_model, tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.model import attention
from transformer_playground.model.attention import (
    AttentionContext,
    attend_fused,
    attend_plain,
    build_attention_context,
    kernel_shares_keys,
)
from transformer_playground.model.gpt import GPT

_LENGTH = 12
_CPU = torch.device("cpu")


def _with_another_token(tokens: Tensor, position: int) -> Tensor:
    changed = tokens.clone()
    changed[:, position] = (changed[:, position] + 1) % 13
    return changed


@settings(max_examples=60, deadline=None)
@given(config=architectures(), position=st.integers(1, _LENGTH - 1))
@torch.inference_mode()
def test_a_changed_token_changes_no_earlier_logit(config: ModelConfig, position: int) -> None:
    model = lively_model(config=config)
    tokens = tokens_of(0, 2, _LENGTH)
    before, after = model(tokens), model(_with_another_token(tokens, position))
    torch.testing.assert_close(before[:, :position], after[:, :position])
    assert not torch.allclose(before[:, position], after[:, position])


@settings(max_examples=40, deadline=None)
@given(config=architectures(), window=st.integers(1, 4))
@torch.inference_mode()
def test_a_token_outside_all_attention_windows_changes_nothing(
    config: ModelConfig, window: int
) -> None:
    config = config.model_copy(update={"attention_window": window})
    model = lively_model(config=config)
    tokens = tokens_of(0, 2, _LENGTH)
    before, after = model(tokens), model(_with_another_token(tokens, 0))
    reach = config.n_layer * (window - 1)
    torch.testing.assert_close(before[:, reach + 1 :], after[:, reach + 1 :])
    assert not torch.allclose(before[:, : reach + 1], after[:, : reach + 1])


@pytest.mark.parametrize("positions", ["learned", "rope", "alibi", "none"])
@torch.inference_mode()
def test_the_last_token_of_a_window_is_still_seen(positions: str) -> None:
    model = lively_model(n_layer=1, attention_window=4, positional_encoding=positions)
    tokens = tokens_of(0, 1, _LENGTH)
    before, after = model(tokens), model(_with_another_token(tokens, 5))
    changed = (before - after).abs().amax(dim=-1)[0] > 1e-6
    assert changed.nonzero().flatten().tolist() == [5, 6, 7, 8]


@settings(max_examples=40, deadline=None)
@given(config=architectures(), start=st.integers(0, 8), length=st.integers(1, 4))
@torch.inference_mode()
def test_plain_and_fused_attention_agree(config: ModelConfig, start: int, length: int) -> None:
    end = start + length
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(2, config.n_head, length, config.head_dim, generator=generator)
    keys, values = torch.randn(2, 2, config.kv_heads, end, config.head_dim, generator=generator)
    positions = lively_model(config=config).positions
    scope = build_attention_context(config, positions, start, end, device=_CPU, dtype=torch.float32)
    plain = attend_plain(queries, keys, values, scope, 0.0)
    torch.testing.assert_close(attend_fused(queries, keys, values, scope, 0.0), plain)
    biased = positions.score_bias(start, end, device=_CPU, dtype=torch.float32) is not None
    if scope.mask is not None and start == 0 and not biased:
        implied = AttentionContext(mask=None, causal=True, fused=True, transform=None)
        if config.attention_window is None or config.attention_window >= end:
            torch.testing.assert_close(attend_fused(queries, keys, values, implied, 0.0), plain)


@torch.inference_mode()
def test_a_context_too_long_for_plain_attention_gives_the_same_logits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, tokens = lively_model(n_kv_head=2), tokens_of(0, 2, _LENGTH)
    plain = model(tokens)
    monkeypatch.setattr("transformer_playground.model.attention._PLAIN_CPU_KEYS", 4)
    torch.testing.assert_close(model(tokens), plain)


@pytest.mark.parametrize("kv_heads", [1, 2])
@torch.inference_mode()
def test_shared_key_value_heads_equal_copies_of_them(kv_heads: int) -> None:
    shared = lively_model(n_kv_head=kv_heads, positional_encoding="rope", qk_norm=True)
    state = shared.state_dict()
    for layer in range(2):
        name = f"blocks.{layer}.attention.qkv.weight"
        queries, keys, values = state[name].split([16, 4 * kv_heads, 4 * kv_heads])
        copies = [
            part.view(kv_heads, 4, 16).repeat_interleave(4 // kv_heads, dim=0).reshape(16, 16)
            for part in (keys, values)
        ]
        state[name] = torch.cat([queries, *copies])
    copied = lively_model(positional_encoding="rope", qk_norm=True)
    copied.load_state_dict(state)
    tokens = tokens_of(0, 2, _LENGTH)
    torch.testing.assert_close(shared(tokens), copied(tokens))


@torch.inference_mode()
def test_qk_norm_makes_attention_independent_of_the_size_of_queries_and_keys() -> None:
    tokens = tokens_of(0, 2, _LENGTH)

    def effect_of_doubling(model: GPT) -> float:
        before = model(tokens)
        weight = model.get_parameter("blocks.0.attention.qkv.weight")
        weight[: 2 * model.config.n_embd] *= 2
        return float((model(tokens) - before).abs().max())

    assert effect_of_doubling(lively_model(n_layer=1, qk_norm=True)) < 1e-3
    assert effect_of_doubling(lively_model(n_layer=1, qk_norm=False)) > 1e-2


def test_dropout_of_attention_weights_applies_only_in_training() -> None:
    model, tokens = lively_model(dropout=0.5), tokens_of(0, 2, _LENGTH)
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shared_keys_give_the_result_and_gradients_of_copied_ones(
    kv_heads: int, masked: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)

    def heads(count: int) -> Tensor:
        values = torch.randn(2, count, _LENGTH, 8, generator=generator).to(dtype)
        return values.requires_grad_()

    inputs = heads(4), heads(kv_heads), heads(kv_heads)
    mask = torch.zeros(1, _LENGTH, _LENGTH, dtype=dtype).masked_fill(
        torch.ones(_LENGTH, _LENGTH).triu(1).bool(), float("-inf")
    )
    context = AttentionContext(
        mask=mask if masked else None, causal=not masked, fused=True, transform=None
    )
    results = []
    for shares in (True, False):
        monkeypatch.setattr(attention, "kernel_shares_keys", lambda *_, s=shares, **__: s)
        mixed = attend_fused(*inputs, context, 0.0)
        results.append((mixed, *torch.autograd.grad(mixed.square().sum(), inputs)))

    error = 1e-5 if dtype == torch.float32 else 0.03
    for shared, copied in zip(*results, strict=True):
        torch.testing.assert_close(shared, copied, rtol=error, atol=error)


def test_only_kernels_that_can_are_asked_to_share_keys() -> None:
    cuda, half = torch.device("cuda"), torch.bfloat16
    assert kernel_shares_keys(cuda, half, masked=False)
    assert not kernel_shares_keys(cuda, half, masked=True)
    assert not kernel_shares_keys(cuda, torch.float32, masked=False)
    assert not kernel_shares_keys(torch.device("mps"), half, masked=False)
    assert kernel_shares_keys(_CPU, torch.float32, masked=True)
