import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transformer_playground.generation.sampler import Candidates, filter_tokens


def _distribution(candidates: Candidates, vocab: int) -> Tensor:
    """Probabilities by token id."""
    weights = candidates.weights / candidates.weights.sum(dim=-1, keepdim=True)
    if candidates.tokens is None:
        return weights
    return torch.zeros(len(weights), vocab).scatter(1, candidates.tokens, weights)


def _reference(logits: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """The definition, token by token, with a full sort."""
    probabilities = (logits.double() / temperature).softmax(dim=-1)
    result = torch.zeros_like(probabilities)
    for row, each in enumerate(probabilities):
        order = each.argsort(descending=True)[: top_k or len(each)]
        mass, limit = 0.0, top_p * each[order].sum().item()
        for token in order:
            if mass >= limit and top_p < 1:
                break
            result[row, token] = each[token]
            mass += each[token].item()
    return (result / result.sum(dim=-1, keepdim=True)).float()


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    vocab=st.sampled_from([2, 7, 300, 2000]),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 5, 299, 5000]),
    top_p=st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]),
    spread=st.sampled_from([0.1, 3.0]),
)
def test_filters_keep_the_tokens_of_their_definition(
    seed: int, vocab: int, temperature: float, top_k: int, top_p: float, spread: float
) -> None:
    logits = spread * torch.randn(3, vocab, generator=torch.Generator().manual_seed(seed))
    candidates = filter_tokens(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    actual = _distribution(candidates, vocab)
    expected = _reference(logits, temperature, top_k, top_p)
    # Rounding may put a sum on the other side of top_p: one token more or less, at the border.
    different = (actual > 0) != (expected > 0)
    assert different.sum() <= 3
    if not different.any():
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-6)


def test_the_most_likely_token_is_kept_for_any_top_p() -> None:
    logits = torch.tensor([[0.0, 5.0, 1.0]])
    kept = _distribution(filter_tokens(logits, temperature=1, top_k=0, top_p=1e-9), 3)
    assert kept.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(("top_p", "kept"), [(0.3, 1), (0.45, 2), (0.65, 2), (0.75, 3), (0.95, 4)])
def test_top_p_keeps_tokens_up_to_the_one_that_reaches_it(top_p: float, kept: int) -> None:
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    for top_k in (0, 4):
        candidates = filter_tokens(logits, temperature=1, top_k=top_k, top_p=top_p)
        expected = {1, 3, 2, 0} if kept == 4 else set([1, 3, 2][:kept])
        assert set(_distribution(candidates, 4)[0].nonzero().flatten().tolist()) == expected


def test_top_p_is_a_share_of_the_tokens_kept_by_top_k() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    kept = _distribution(filter_tokens(logits, temperature=1, top_k=2, top_p=0.55), 4)
    # 0.4 / 0.7 is already 0.57; of the whole vocabulary it would be 0.4 and need a second token.
    assert kept.tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_large_logits_do_not_overflow(shift: float) -> None:
    logits = torch.tensor([[0.0, 1.0]]) + shift
    kept = _distribution(filter_tokens(logits, temperature=0.1, top_k=0, top_p=1), 2)
    torch.testing.assert_close(kept, torch.tensor([[0.0, 10.0]]).softmax(dim=-1))


def test_draws_follow_the_weights() -> None:
    weights = torch.tensor([[0.5, 0.0, 1.5, 2.0]]).expand(40_000, -1)
    uniform = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    drawn = Candidates(weights, None).draw(uniform).bincount(minlength=4) / 40_000
    torch.testing.assert_close(drawn, torch.tensor([0.125, 0, 0.375, 0.5]), rtol=0, atol=0.01)


def test_a_token_without_weight_is_never_drawn() -> None:
    weights = torch.tensor([[0.0, 1.0, 0.0]]).expand(2, -1)
    extremes = torch.tensor([0.0, 1 - 2**-24])
    assert Candidates(weights, None).draw(extremes).tolist() == [1, 1]
    named = Candidates(weights, torch.tensor([[7, 8, 9]]).expand(2, -1))
    assert named.draw(extremes).tolist() == [8, 8]
