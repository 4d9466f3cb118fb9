import math

import pytest
import torch

from transformer_playground.inspection.text import entropy, score_tokens


def test_a_token_is_scored_by_the_prediction_before_it() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]]).log()
    scores = score_tokens(logits, torch.tensor([2, 1, 2]), alternatives=2)
    assert scores.probabilities[0] is None
    assert scores.probabilities[1:] == pytest.approx((0.25, 0.8))
    assert scores.surprisals[1:] == pytest.approx((math.log(4), -math.log(0.8)))
    assert scores.ranks == (None, 2, 1)
    tokens, probabilities = zip(*scores.likeliest[2], strict=True)
    assert tokens == (1, 0)
    assert probabilities == pytest.approx((0.7, 0.2))
    assert scores.mean_loss == pytest.approx((math.log(4) - math.log(0.8)) / 2)


def test_a_single_token_has_no_loss_but_a_prediction() -> None:
    scores = score_tokens(torch.zeros(1, 4), torch.tensor([3]))
    assert scores.mean_loss is None
    assert scores.surprisals == (None,)
    assert scores.entropies == pytest.approx((math.log(4),))


def test_entropy_is_that_of_a_uniform_and_of_a_certain_prediction() -> None:
    certain = torch.tensor([0.0, -math.inf, -math.inf])
    assert entropy(torch.stack((torch.zeros(3), certain))).tolist() == pytest.approx(
        [math.log(3), 0.0]
    )
