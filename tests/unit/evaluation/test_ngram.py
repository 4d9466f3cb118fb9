import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.evaluation.ngram import NGramModel, ngram_losses

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(tokens=TOKENS, order=st.integers(1, 4))
def test_probabilities_sum_to_one_after_every_history(tokens: list[int], order: int) -> None:
    model = NGramModel(tokens, 4, order)
    for history in itertools.product(range(4), repeat=2):
        losses = [model.losses([*history, token])[-1] for token in range(4)]
        assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1)


def test_single_tokens_are_counted_with_a_discount() -> None:
    # One token occurs once and one twice: the discount is 1 / (1 + 2).
    losses = NGramModel([0, 1, 1, 2, 2, 2], 4, 1).losses([0, 1, 2, 3])
    kept = np.array([1, 2, 3, 1 / 3]) - 1 / 3
    expected = (kept + 1 / 3 * 3 / 4) / 6
    assert np.exp(-losses) == pytest.approx(expected)


def test_bigrams_are_those_of_the_formula() -> None:
    tokens = [0, 1, 0, 1, 2, 0, 1, 1, 2, 3, 0, 2]
    pairs = Counter(itertools.pairwise(tokens))
    once, twice = (sum(count == times for count in pairs.values()) for times in (1, 2))
    discount = once / (once + 2 * twice)
    # Shorter n-grams count after how many different tokens they stand.
    after = Counter(last for _, last in pairs)
    few, two = (sum(count == times for count in after.values()) for times in (1, 2))
    smaller = few / (few + 2 * two) if few and two else 0.5

    def unigram(token: int) -> float:
        return (max(after[token] - smaller, 0) + smaller * len(after) / 4) / sum(after.values())

    def bigram(history: int, token: int) -> float:
        same = {last: count for (first, last), count in pairs.items() if first == history}
        left = discount * len(same)
        kept = max(same.get(token, 0) - discount, 0)
        return (kept + left * unigram(token)) / sum(same.values())

    losses = NGramModel(tokens, 4, 2).losses([1, 2, 0, 3])
    expected = [unigram(1), bigram(1, 2), bigram(2, 0), bigram(0, 3)]
    assert np.exp(-losses) == pytest.approx(expected)


def test_longer_histories_help_where_the_text_repeats_itself() -> None:
    text = [0, 1, 2, 0, 2, 1] * 50
    losses = ngram_losses(text, text, 3, [1, 2, 3, 4])
    assert losses[1] == pytest.approx(math.log(3), rel=0.01)
    assert losses[1] > losses[2] > losses[4]
    assert losses[4] < 0.05


def test_a_text_shorter_than_the_order_and_unseen_tokens_have_a_finite_loss() -> None:
    assert np.isfinite(NGramModel([5], 50_000, 5).losses([5, 49_999, 5])).all()
