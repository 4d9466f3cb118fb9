import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from builders.models import architectures, lively_model, tiny_config, tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.model.gpt import GPT
from transformer_playground.model.kv_cache import KVCache

_LENGTH = 12


def _cache(config: ModelConfig, batch: int = 2, capacity: int = _LENGTH) -> KVCache:
    return KVCache(
        config,
        batch_size=batch,
        capacity=capacity,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def _in_pieces(model: GPT, tokens: Tensor, sizes: list[int]) -> Tensor:
    cache = _cache(model.config, len(tokens))
    return torch.cat([model(piece, cache) for piece in torch.split(tokens, sizes, dim=1)], dim=1)


@settings(max_examples=100, deadline=None)
@given(config=architectures(), cut=st.integers(1, _LENGTH - 1))
@torch.inference_mode()
def test_logits_with_and_without_a_cache_are_equal(config: ModelConfig, cut: int) -> None:
    model = lively_model(config=config)
    tokens = tokens_of(0, 2, _LENGTH)
    expected = model(tokens)
    for sizes in ([_LENGTH], [cut, _LENGTH - cut], [1] * _LENGTH):
        torch.testing.assert_close(_in_pieces(model, tokens, sizes), expected, rtol=1e-4, atol=1e-4)


def test_only_key_value_heads_are_stored() -> None:
    model = lively_model(n_kv_head=1)
    cache = _cache(model.config)
    keys, values = cache.write(0, torch.ones(2, 1, 3, 4), torch.ones(2, 1, 3, 4))
    assert keys.shape == values.shape == (2, 1, 3, 4)


def test_stored_keys_are_not_moved() -> None:
    cache = _cache(tiny_config())
    first, _ = cache.write(0, torch.ones(2, 4, 3, 4), torch.ones(2, 4, 3, 4))
    cache.advance(3)
    both, _ = cache.write(0, torch.zeros(2, 4, 1, 4), torch.zeros(2, 4, 1, 4))
    assert both.data_ptr() == first.data_ptr()
    assert both[0, 0, :, 0].tolist() == [1, 1, 1, 0]


@torch.inference_mode()
def test_a_reset_cache_starts_again_at_position_zero() -> None:
    model = lively_model()
    cache = _cache(model.config)
    model(tokens_of(5, 2, 9), cache)
    cache.reset()
    tokens = tokens_of(0, 2, 4)
    torch.testing.assert_close(model(tokens, cache), model(tokens))


@torch.inference_mode()
def test_selected_sequences_continue_independently() -> None:
    model = lively_model()
    tokens = tokens_of(0, 2, 6)
    cache = _cache(model.config)
    model(tokens[:, :5], cache)
    chosen = cache.select(torch.tensor([1, 1, 0]))
    assert (chosen.batch_size, chosen.capacity, chosen.length) == (3, _LENGTH, 5)
    last = torch.tensor([[3], [4], [5]])
    whole = torch.cat([tokens[[1, 1, 0], :5], last], dim=1)
    torch.testing.assert_close(model(last, chosen), model(whole)[:, -1:])
    torch.testing.assert_close(model(tokens[:, 5:], cache), model(tokens)[:, -1:])


def test_tokens_beyond_the_context_are_rejected() -> None:
    model = lively_model()
    with pytest.raises(ValueError, match="13 tokens do not fit into a context of 12"):
        model(tokens_of(0, 1, 13))
    cache = _cache(model.config, 1, capacity=4)
    model(tokens_of(0, 1, 4), cache)
    with pytest.raises(ValueError, match="5 tokens do not fit into a context of 4"):
        model(tokens_of(0, 1, 1), cache)
