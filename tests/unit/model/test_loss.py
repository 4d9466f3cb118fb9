import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from builders.models import tokens_of
from transformer_playground.model import loss as loss_module
from transformer_playground.model.loss import summed_cross_entropy


def test_the_summed_loss_adds_up_over_parts_of_a_batch() -> None:
    logits, targets = torch.randn(4, 6, 13), tokens_of(0, 4, 6)
    whole = summed_cross_entropy(logits, targets)
    parts = sum(summed_cross_entropy(logits[i : i + 1], targets[i : i + 1]) for i in range(4))
    torch.testing.assert_close(whole, torch.as_tensor(parts))
    torch.testing.assert_close(
        whole, 24 * functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    )


@settings(max_examples=30, deadline=None)
@given(
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    slice_elements=st.sampled_from([1, 13, 40, 200]),
    scale=st.sampled_from([0.5, 100.0]),
)
def test_large_logits_in_slices_have_the_same_loss_and_gradient(
    dtype: torch.dtype, slice_elements: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (scale * torch.randn(3, 7, 13, generator=generator)).to(dtype).requires_grad_()
    targets = tokens_of(1, 3, 7)
    expected = summed_cross_entropy(logits, targets)
    (expected_slope,) = torch.autograd.grad(expected / 21, logits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_module, "_SLICE_ELEMENTS", slice_elements)
        actual = summed_cross_entropy(logits, targets)
        (actual_slope,) = torch.autograd.grad(actual / 21, logits)
    assert actual.dtype == torch.float32
    assert actual_slope.dtype == dtype
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(actual_slope, expected_slope)


def test_the_loss_of_a_large_vocabulary_is_right_without_a_patch() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 30, 50_257, generator=generator)
    targets = tokens_of(1, 1, 30, 50_257)
    expected = -logits.double().log_softmax(dim=-1).gather(2, targets.unsqueeze(2)).sum()
    torch.testing.assert_close(summed_cross_entropy(logits, targets), expected.float())


def test_a_non_finite_logit_gives_a_non_finite_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = torch.randn(2, 3, 13), tokens_of(0, 2, 3)
    logits[1, 2, 4] = float("nan")
    assert summed_cross_entropy(logits, targets).isnan()
    monkeypatch.setattr(loss_module, "_SLICE_ELEMENTS", 13)
    assert summed_cross_entropy(logits, targets).isnan()


@pytest.mark.parametrize("rows", [3, 5000])
def test_ignored_targets_count_neither_in_the_loss_nor_in_its_gradient(rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, rows, 300, generator=generator, requires_grad=True)
    targets = torch.randint(300, (1, rows), generator=generator)
    masked = targets.clone()
    masked[:, ::3] = -100
    kept = masked[0] != -100

    summed_cross_entropy(logits, masked).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    gradient, logits.grad = logits.grad, None
    alone = summed_cross_entropy(logits[:, kept], targets[:, kept])
    alone.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(gradient, logits.grad)
    torch.testing.assert_close(
        summed_cross_entropy(logits, masked),
        summed_cross_entropy(logits[:, kept], targets[:, kept]),
    )
