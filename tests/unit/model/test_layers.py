import torch
from torch import Tensor, nn

from builders.models import lively_model, tokens_of
from transformer_playground.model.gpt import GPT
from transformer_playground.model.layers import linear
from transformer_playground.model.loss import summed_cross_entropy


def _in_plain_order(model: GPT) -> GPT:
    """The same weights, each row by row in memory."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.detach().contiguous())
    return model


def _train(model: GPT, steps: int) -> list[Tensor]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for step in range(steps):
        loss = summed_cross_entropy(model(tokens_of(step, 2, 12)), tokens_of(step + 1, 2, 12))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    return [parameter.detach() for parameter in model.parameters()]


def test_a_linear_layer_has_the_shape_of_torch_in_any_memory_order() -> None:
    wide, narrow = linear(4, 8, bias=True), linear(8, 4, bias=False)
    assert (wide.weight.shape, narrow.weight.shape) == ((8, 4), (4, 8))
    assert wide.weight.t().is_contiguous()
    assert narrow.weight.is_contiguous()


def test_the_order_of_weights_in_memory_does_not_change_training() -> None:
    # The fused optimizer works on raw memory: weight, gradient and moments must have one order.
    ours = _train(lively_model(activation="swiglu", tie_embeddings=False), 4)
    plain = _train(_in_plain_order(lively_model(activation="swiglu", tie_embeddings=False)), 4)
    for mine, theirs in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
