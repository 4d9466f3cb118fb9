from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from builders.models import architectures, lively_model, tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.model import blas, decoding
from transformer_playground.model.base import evaluating
from transformer_playground.model.decoding import linear_function, store_for_decoding
from transformer_playground.model.gpt import GPT

_LENGTH = 12


@torch.inference_mode()
def _token_by_token(model: GPT, tokens: torch.Tensor, prompt: int) -> torch.Tensor:
    """Logits after each token from the last of the prompt on, of the copy for decoding."""
    copy = model.for_decoding()
    cache = copy.new_cache(len(tokens), _LENGTH)
    pieces = [prompt, *[1] * (tokens.shape[1] - prompt)]
    return torch.stack(
        [copy.next_logits(piece, cache) for piece in torch.split(tokens, pieces, dim=1)], dim=1
    )


@pytest.fixture(params=[True, False])
def with_numpy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether products are those of numpy, whatever the CPU is."""
    prefers: bool = request.param
    monkeypatch.setattr(decoding, "prefers_numpy", lambda: prefers)
    return prefers


@settings(max_examples=100, deadline=None)
@given(
    config=architectures(),
    batch=st.integers(1, 2),
    prompt=st.integers(1, _LENGTH - 1),
    with_numpy=st.booleans(),
)
def test_decoding_gives_the_logits_of_the_forward_pass(
    config: ModelConfig, batch: int, prompt: int, with_numpy: bool
) -> None:
    model = lively_model(config=config)
    tokens = tokens_of(0, batch, _LENGTH)
    with torch.inference_mode():
        expected = model(tokens)[:, prompt - 1 :]
    with mock.patch.object(decoding, "prefers_numpy", return_value=with_numpy):
        decoded = _token_by_token(model, tokens, prompt)
    torch.testing.assert_close(decoded, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_bfloat16_model_decodes_with_its_own_rounding_and_no_more(batch: int) -> None:
    exact = lively_model(norm="rmsnorm", positional_encoding="rope", n_kv_head=2)
    model = lively_model(norm="rmsnorm", positional_encoding="rope", n_kv_head=2).bfloat16()
    tokens = tokens_of(0, batch, _LENGTH)
    with torch.inference_mode():
        expected = exact(tokens)[:, 2:]
    decoded = _token_by_token(model, tokens, prompt=3)
    assert decoded.dtype == torch.float32
    error = float((decoded - expected).norm() / expected.norm())
    assert 0 < error < 0.05


def test_the_cache_on_a_cpu_is_float32() -> None:
    model = lively_model().bfloat16()
    cache = model.new_cache(1, 8)
    assert cache.dtype == torch.float32
    assert model.cache_bytes(8) == sum(stored.nbytes for stored in (*cache._keys, *cache._values))


def test_a_copy_for_decoding_shares_the_weights_and_leaves_the_model_as_it_is() -> None:
    model = lively_model(dropout=0.5, bias=True).train()
    modules = [type(module) for module in model.modules()]
    bias = dict(model.named_parameters())["blocks.0.mlp.down.bias"]
    tokens = tokens_of(0, 1, 4)
    for change in (0.0, 1.0):
        with torch.no_grad():
            bias.add_(change)
        decoded = _token_by_token(model, tokens, 2)
        assert [type(module) for module in model.modules()] == modules
        assert all(module.training for module in model.modules())
        with evaluating(model):
            torch.testing.assert_close(decoded, model(tokens)[:, 1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (1, 5)])
@torch.inference_mode()
def test_a_linear_layer_for_decoding_computes_the_same(
    with_numpy: bool, shape: tuple[int, int], bias: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    outputs, inputs = shape
    layer = nn.Linear(inputs, outputs, bias=bias, dtype=dtype)
    prepared = linear_function(layer)
    for rows in ((1, 1), (1,), (), (1, 3), (2, 1)):
        x = torch.randn(*rows, inputs, dtype=dtype)
        torch.testing.assert_close(prepared(x), layer(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_weights_stored_for_decoding_are_the_same_weights(
    with_numpy: bool, dtype: torch.dtype
) -> None:
    model = lively_model(bias=True, activation="swiglu").to(dtype)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    store_for_decoding(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
        if tensor.dim() == 2 and name.startswith("blocks."):
            if dtype == torch.bfloat16:
                assert tensor.is_contiguous()
            elif with_numpy:
                assert tensor.t().is_contiguous()


def test_numpy_multiplies_with_one_thread(
    monkeypatch: pytest.MonkeyPatch, with_numpy: bool
) -> None:
    counts: list[int] = []
    monkeypatch.setattr(blas, "_setter", lambda: counts.append)
    decoding.linear_function(nn.Linear(3, 2))
    assert counts == ([1] if with_numpy else [])


def test_a_library_without_a_number_of_threads_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blas, "_setter", lambda: None)
    blas.use_one_thread()
