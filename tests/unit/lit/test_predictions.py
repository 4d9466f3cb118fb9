import math
from typing import Any

import pytest
import torch

from builders.hostile import harm_in
from builders.models import lively_model
from builders.serving import break_weights
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.errors import SamplingError, UsageError
from transformer_playground.evaluation.pairs import Pair
from transformer_playground.inspection.heads import attention_patterns
from transformer_playground.lit.predictions import AskedModel
from transformer_playground.lit.texts import pairs_card

LETTERS = CharTokenizer(["\n", " ", *"abcdefghijk"])


@pytest.fixture(scope="module")
def asked() -> AskedModel:
    return AskedModel("one", "a model", lively_model(vocab_size=13), LETTERS, ())


def test_surprisals_and_alternatives_are_those_of_the_model(asked: AskedModel) -> None:
    found = asked.predict("ab c\n")
    assert found["tokens"] == ["a", "b", "␣", "c", "↵"]
    tokens = torch.tensor([LETTERS.encode("ab c\n")])
    with torch.inference_mode():
        log_probs = asked.model(tokens)[0].log_softmax(-1)
    expected = (-log_probs[:-1].gather(1, tokens[0, 1:, None]).squeeze(1)).tolist()
    assert found["surprisals"] == pytest.approx([0.0, *expected], abs=1e-5)
    assert found["loss"] == pytest.approx(sum(expected) / 4, abs=1e-5)
    assert found["expected"][0] == []
    (_, probability), *_ = found["expected"][1]
    assert probability == pytest.approx(math.exp(float(log_probs[0].max())), rel=1e-4)
    assert len(found["embedding"]) == 16


def test_marks_stand_where_the_token_stands_in_the_text(asked: AskedModel) -> None:
    text = "abcdefghijkabcdef"
    found = asked.predict(text)
    # The context has 12 tokens, so the first five are not read.
    assert len(found["tokens"]) == 12
    surprisals = dict(enumerate(found["surprisals"], start=5))
    for mark in found["unexpected"]:
        assert mark["end"] == mark["start"] + 1
        assert mark["label"].startswith(f"“{text[mark['start']]}” ")
        assert mark["score"] == pytest.approx(surprisals[mark["start"]])
    scores = [mark["score"] for mark in found["unexpected"]]
    assert scores == sorted(scores, reverse=True)
    assert {(mark["start"], mark["end"]) for mark in found["next"]} == {(16, 17)}


def test_characters_that_the_tokenizer_lacks_are_left_out_and_nothing_is_marked(
    asked: AskedModel,
) -> None:
    found = asked.predict("aXb")
    assert found["tokens"] == ["a", "b"]
    assert (found["unexpected"], found["next"]) == ([], [])
    assert len(asked.predict("")["tokens"]) == 1
    assert asked.salience("a")["norms"] == [0.0]


def test_attention_is_one_row_of_a_head_and_what_does_not_exist_is_refused(
    asked: AskedModel,
) -> None:
    tokens = torch.tensor([LETTERS.encode("abca")])
    found = asked.attention("abca", 1, 2, -1)
    expected = attention_patterns(asked.model, tokens)[1, 0, 2, 3].tolist()
    assert found["weights"] == pytest.approx(expected)
    assert sum(found["weights"]) == pytest.approx(1)
    for place, message in (
        ((2, 0, 0), "no layer 2"),
        ((0, 4, 0), "no head 4"),
        ((0, 0, 4), "no token 4"),
    ):
        with pytest.raises(UsageError, match=message):
            asked.attention("abca", *place)


def test_salience_is_of_all_tokens_before_the_last(asked: AskedModel) -> None:
    found = asked.salience("abca")
    assert sum(found["norms"]) == pytest.approx(1)
    assert max(map(abs, found["products"])) == pytest.approx(1)
    assert (found["norms"][-1], found["products"][-1]) == (0, 0)


def test_a_model_that_diverged_is_refused() -> None:
    model = lively_model(vocab_size=13)
    break_weights(model)
    broken = AskedModel("one", "a model", model, LETTERS, ())
    for ask in (broken.predict, broken.salience, lambda text: broken.attention(text, 0, 0, -1)):
        with pytest.raises(SamplingError, match="diverged"):
            ask("abc")


@pytest.mark.parametrize(
    "settings",
    [
        {"attention_window": 3, "positional_encoding": "alibi", "n_kv_head": 2},
        {"norm_position": "post", "qk_norm": True, "logit_softcap": 5.0},
        {"mlp_enabled": False, "parallel_residual": True, "positional_encoding": "rope"},
    ],
    ids=["windowed alibi", "post norm", "without MLPs"],
)
def test_models_of_every_kind_answer_for_texts_of_every_length(settings: dict[str, Any]) -> None:
    one = AskedModel("one", "a model", lively_model(vocab_size=13, **settings), LETTERS, ())
    for text, length in (("", 1), ("k", 1), ("abc", 3), ("abcdefghijk" * 3, 12)):
        predicted = one.predict(text)
        assert len(predicted["tokens"]) == len(predicted["surprisals"]) == length
        weights = one.attention(text, 1, 0, -1)["weights"]
        assert len(weights) == length
        assert sum(weights) == pytest.approx(1)
        assert len(one.salience(text)["products"]) == length


def test_control_characters_reach_the_page_as_symbols() -> None:
    tokenizer = CharTokenizer(["\n", "\r", "\x1b", "\x9b", "\u202e", "a"])
    one = AskedModel("one", "a model", lively_model(vocab_size=6), tokenizer, ())
    found = one.predict("a\x1b\x9b\u202e\r\na")
    assert len(found["tokens"]) == 7
    shown = [*found["tokens"], *(mark["label"] for mark in found["unexpected"])]
    for text in shown:
        assert harm_in(text, one_line=True) is None, repr(text)


def test_each_sentence_of_a_pair_is_a_text() -> None:
    card = pairs_card("pairs", [Pair("order", "a b", "b a")])
    assert card["examples"] == [
        {"text": "a b", "verdict": "good", "kind": "order", "pair": "0"},
        {"text": "b a", "verdict": "bad", "kind": "order", "pair": "0"},
    ]
