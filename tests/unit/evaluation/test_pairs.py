import pytest
import torch

from builders.models import lively_model
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.evaluation.pairs import (
    LANGUAGES,
    Language,
    Pair,
    PairScore,
    bundled_pairs,
    score_pairs,
    swapped_pairs,
)

LETTERS = CharTokenizer(["\n", " ", *"abcdefghijk"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_bundled_pairs_are_distinct_and_differ(language: Language) -> None:
    pairs = bundled_pairs(language)
    assert len(pairs) >= 30
    assert len({pair.good for pair in pairs}) == len(pairs)
    assert all(pair.good != pair.bad for pair in pairs)
    assert len({pair.kind for pair in pairs}) == 5


def test_made_pairs_have_the_same_words_with_two_neighbours_swapped() -> None:
    text = "The king sat in his hall. He said nothing at all, to no one.\nOh no no no no!\nShort."
    pairs = swapped_pairs(text, 10)
    assert [pair.good for pair in pairs] == [
        "The king sat in his hall",
        "He said nothing at all, to no one",
    ]
    for pair in pairs:
        good, bad = pair.good.split(), pair.bad.split()
        changed = [place for place, word in enumerate(good) if word != bad[place]]
        assert len(changed) == 2
        assert changed[1] == changed[0] + 1
        assert changed[0] >= 1
    assert swapped_pairs(text, 10) == pairs
    assert len(swapped_pairs(text, 1)) == 1


def test_a_sentence_is_scored_after_a_line_break_by_all_its_tokens() -> None:
    model = lively_model(vocab_size=13)
    (score,), skipped = score_pairs(model, LETTERS, [Pair("x", "abc", "acb")])
    with torch.inference_mode():
        for text, found in (("abc", score.good), ("acb", score.bad)):
            tokens = torch.tensor([LETTERS.encode(f"\n{text}")])
            log_probs = model(tokens[:, :-1]).double().log_softmax(-1)
            expected = log_probs[0].gather(1, tokens[0, 1:, None]).sum()
            assert found == pytest.approx(float(expected))
    assert skipped == 0


def test_ties_count_half() -> None:
    pair = Pair("x", "a", "b")
    scores = [PairScore(pair, -1.0, -2.0), PairScore(pair, -2.0, -1.0), PairScore(pair, -1.0, -1.0)]
    assert [score.credit for score in scores] == [1, 0, 0.5]


def test_pairs_with_unknown_letters_or_beyond_the_context_are_left_out() -> None:
    pairs = [Pair("x", "ab", "zz"), Pair("x", "a" * 30, "b"), Pair("x", "ab", "ba")]
    scores, skipped = score_pairs(lively_model(vocab_size=13), LETTERS, pairs)
    assert (len(scores), skipped) == (1, 2)
