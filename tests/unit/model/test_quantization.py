import pytest
import torch
from torch import nn
from torch.nn import functional

from builders.models import lively_model, tokens_of
from transformer_playground.model.quantization import Int8Linear


def _weights_of(layer: Int8Linear) -> torch.Tensor:
    return layer.weight.float() * layer.scale.float().unsqueeze(1)


# Of these only 64 and 128 inputs suit torch's kernel.
@pytest.mark.parametrize("inputs", [1, 4, 16, 63, 64, 100, 128])
@pytest.mark.parametrize("outputs", [1, 13, 64])
@pytest.mark.parametrize("rows", [(1,), (3,), (2, 5), (64,)])
@torch.inference_mode()
def test_a_product_is_that_of_the_rounded_weights(
    inputs: int, outputs: int, rows: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    layer = Int8Linear(torch.randn(outputs, inputs), torch.randn(outputs))
    x = torch.randn(*rows, inputs)
    expected = functional.linear(x.bfloat16().float(), _weights_of(layer), layer.bias)
    y = layer(x)
    assert y.dtype == x.dtype
    # The result is rounded to bfloat16, whose neighbours differ by 1 in 128.
    torch.testing.assert_close(y, expected, rtol=2**-6, atol=0.1)


def test_weights_are_rounded_to_127_steps_of_the_largest_of_each_row() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 64) * torch.tensor([1e-4, 1e-2, 1.0, 1e2, 1e4, 0.0]).unsqueeze(1)
    layer = Int8Linear(weight)
    steps = weight.abs().amax(dim=1, keepdim=True) / 127
    # Half a step, and a little for the largest weight if its scale was rounded down.
    assert ((_weights_of(layer) - weight).abs() <= 1.01 * steps).all()
    assert ((_weights_of(layer) - weight).abs().mean(dim=1) <= 0.3 * steps.squeeze(1)).all()
    assert torch.isfinite(layer(torch.ones(1, 64))).all()


@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_a_quantized_model_has_no_other_linear_layers_and_nearly_the_same_logits(
    tied: bool,
) -> None:
    exact = lively_model(n_embd=64, tie_embeddings=tied, bias=True, activation="swiglu")
    with torch.no_grad():
        for parameter in exact.parameters():
            if parameter.dim() == 2:
                parameter.mul_(0.25)
    tokens = tokens_of(0, 2, 12)
    expected = exact(tokens).log_softmax(dim=-1)
    exact.quantize()
    assert not [module for module in exact.modules() if type(module) is nn.Linear]
    assert isinstance(exact.head, Int8Linear)
    logprobs = exact(tokens).log_softmax(dim=-1)
    assert 0 < float((logprobs - expected).abs().max()) < 0.2


@pytest.mark.parametrize("batch", [1, 3])
@torch.inference_mode()
def test_a_quantized_model_decodes_token_by_token(batch: int) -> None:
    model = lively_model(n_embd=64, positional_encoding="rope")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(0.25)
    model.quantize()
    tokens = tokens_of(0, batch, 12)
    expected = model(tokens)[:, -1]
    copy = model.for_decoding()
    cache = copy.new_cache(batch, 12)
    for piece in torch.split(tokens, [5, *[1] * 7], dim=1):
        logits = copy.next_logits(piece, cache)
    torch.testing.assert_close(logits, expected, rtol=0.02, atol=0.05)
