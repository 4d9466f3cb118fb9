import pytest
import torch
from torch import nn

from transformer_playground.errors import CheckpointError
from transformer_playground.training.mixed_precision import MixedPrecisionParams

FORMATS = [torch.float32, torch.bfloat16]


def model() -> nn.Linear:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(6.0).view(2, 3) / 7)
        layer.bias.fill_(0.1)
    return layer


def test_float32_masters_are_the_parameters_of_the_model() -> None:
    layer = model()
    weights = MixedPrecisionParams(layer, torch.float32)
    assert weights.masters[0] is layer.weight


def test_bfloat16_masters_keep_the_float32_values() -> None:
    layer = model()
    exact = layer.weight.detach().clone()
    weights = MixedPrecisionParams(layer, torch.bfloat16)
    assert layer.weight.dtype == torch.bfloat16
    assert torch.equal(weights.masters[0].detach(), exact)


def test_small_updates_are_not_lost_to_rounding() -> None:
    layer = model()
    weights = MixedPrecisionParams(layer, torch.bfloat16)
    before = layer.bias.detach().clone()
    with torch.no_grad():
        for _ in range(100):
            weights.masters[1].add_(1e-4)
            weights.copy_to_model()
    assert (layer.bias.detach() - before).float().mean().item() == pytest.approx(0.01, rel=0.1)


def test_micro_batches_are_summed_in_float32() -> None:
    layer = model()
    weights = MixedPrecisionParams(layer, torch.bfloat16)
    for value in (256.0, 1.0):
        layer.bias.grad = torch.full_like(layer.bias, value)
        layer.weight.grad = torch.zeros_like(layer.weight)
        weights.accumulate_grads()
    # bfloat16 has 8 bits of precision: 256 + 1 would round to 256.
    assert weights.masters[1].grad is not None
    assert weights.masters[1].grad.tolist() == [257.0, 257.0]
    assert layer.bias.grad is None


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_average_follows_the_weights_at_the_rate_of_its_decay(dtype: torch.dtype) -> None:
    layer = model()
    weights = MixedPrecisionParams(layer, dtype, ema_decay=0.75)
    with torch.no_grad():
        weights.masters[1].fill_(1.1)
    weights.update_ema(1000)
    weights.copy_to_model()
    average = weights.ema_state_dict()
    assert average is not None
    assert average["bias"].tolist() == pytest.approx([0.35, 0.35])


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_model_computes_with_the_average_only_inside_the_block(dtype: torch.dtype) -> None:
    layer = model()
    weights = MixedPrecisionParams(layer, dtype, ema_decay=0.5)
    with torch.no_grad():
        weights.masters[1].fill_(2.1)
    weights.update_ema(1000)
    weights.copy_to_model()
    current = layer.bias.detach().clone()
    with weights.ema_weights():
        assert layer.bias.float().tolist() == pytest.approx([1.1, 1.1], rel=0.01)
    assert torch.equal(layer.bias, current)
    assert weights.masters[1].tolist() == pytest.approx([2.1, 2.1])


@pytest.mark.parametrize("dtype", FORMATS)
def test_saved_weights_are_restored_exactly(dtype: torch.dtype) -> None:
    saved = MixedPrecisionParams(model(), dtype, ema_decay=0.5)
    with torch.no_grad():
        saved.masters[0].mul_(1.01)
    saved.update_ema(1000)
    saved.copy_to_model()
    layer = model()
    restored = MixedPrecisionParams(layer, dtype, ema_decay=0.5)
    restored.load(saved.state_dict(), saved.ema_state_dict())
    for name, tensor in saved.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor)
    assert torch.equal(layer.weight, saved.masters[0].to(dtype))


def test_weights_of_another_model_are_refused() -> None:
    weights = MixedPrecisionParams(model(), torch.float32)
    with pytest.raises(CheckpointError, match="shape"):
        weights.load({"weight": torch.zeros(5, 3), "bias": torch.zeros(2)}, None)
    with pytest.raises(CheckpointError, match="gain"):
        weights.load({"gain": torch.zeros(5), "bias": torch.zeros(2)}, None)


def test_the_average_forgets_the_initial_weights_quickly() -> None:
    layer = model()
    weights = MixedPrecisionParams(layer, torch.float32, ema_decay=0.999)
    with torch.no_grad():
        weights.masters[1].fill_(5.0)
    for step in range(50):
        weights.update_ema(step)
        weights.copy_to_model()
    average = weights.ema_state_dict()
    assert average is not None
    assert average["bias"].tolist() == pytest.approx([5.0, 5.0], abs=0.01)


def test_the_next_step_starts_with_gradients_of_zero() -> None:
    layer = model()
    weights = MixedPrecisionParams(layer, torch.bfloat16)
    for value in (256.0, 1.0):
        layer.bias.grad = torch.full_like(layer.bias, value)
        weights.accumulate_grads()
        weights.zero_grads()
    layer.bias.grad = torch.full_like(layer.bias, 3.0)
    weights.accumulate_grads()
    assert weights.masters[1].grad is not None
    assert weights.masters[1].grad.tolist() == [3.0, 3.0]
