"""A text pass says what the views it stands for say."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from builders.base_models import build_model_folder
from builders.lora_models import adapted_model, some_tokens, stir
from builders.models import lively_model, tokens_of
from transformer_playground.inspection.ablation import Component, ablate, continuation
from transformer_playground.inspection.heads import attention_patterns, head_kind
from transformer_playground.inspection.lens import LayerPrediction, decided_from, logit_lens
from transformer_playground.inspection.text import score_tokens
from transformer_playground.inspection.text_pass import TextPass

SETTINGS: list[dict[str, Any]] = [
    {},
    {"attention_window": 3},
    {"positional_encoding": "alibi"},
    {"parallel_residual": True},
    {"norm_position": "post"},
    {"mlp_enabled": False},
]


def test_the_lens_at_a_position_is_that_of_the_whole_text() -> None:
    model, tokens = lively_model(), tokens_of(1, 1, 8)
    wanted = [logits[0, 4] for logits in logit_lens(model, tokens)]
    target = int(tokens[0, 5])
    for found, logits in zip(TextPass(model, tokens).lens(4), wanted, strict=True):
        expected = LayerPrediction.of(logits, target)
        assert found.target_rank == expected.target_rank
        assert found.target_probability == pytest.approx(float(logits.softmax(-1)[target]))
        assert found.entropy == pytest.approx(expected.entropy, abs=1e-5)
        assert [token for token, _ in found.likeliest] == [t for t, _ in expected.likeliest]
    assert all(each.target_rank is None for each in TextPass(model, tokens).lens(7))


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_a_pass_without_a_part_is_that_of_an_ablation(changes: dict[str, Any]) -> None:
    model, tokens = lively_model(**changes), tokens_of(2, 1, 8)
    out = [Component(0, 1), Component(1, "attention")]
    without = TextPass(model, tokens, out)
    assert without.scores == score_tokens(ablate(model, tokens, out).logits[0], tokens[0])
    assert_close(TextPass(model, tokens).attention(1), attention_patterns(model, tokens)[1, 0])
    assert len(without.lens(0)) == 3


def test_a_text_of_one_token_has_a_lens_and_no_surprisal() -> None:
    found = TextPass(lively_model(n_head=2), tokens_of(0, 1, 1))
    assert found.scores.surprisals == (None,)
    assert len(found.lens(0)) == 3
    assert found.attention(0).tolist() == [[[1.0]], [[1.0]]]
    assert found.kinds(0, {}) == (None, None)


def test_a_continuation_takes_the_likeliest_tokens_within_the_context() -> None:
    model, tokens = lively_model(), tokens_of(3, 1, 11)
    by_hand = tokens
    for _ in range(4):
        logits = ablate(model, by_hand[:, -model.block_size :], [Component(0)]).logits
        by_hand = torch.cat([by_hand, logits[:, -1:].argmax(-1)], dim=1)
    found = continuation(model, tokens, [Component(0)], count=4)
    assert list(found) == by_hand[0, 11:].tolist()
    assert set(continuation(model, tokens, [], count=9, vocab_size=1)) == {0}


@pytest.mark.parametrize("architecture", ["qwen2", "gemma3"])
def test_a_finetuned_model_is_read_and_changed_alike(architecture: str, tmp_path: Path) -> None:
    model = stir(adapted_model(build_model_folder(architecture, tmp_path)))  # type: ignore[arg-type]
    tokens = some_tokens(model, 1, 6)
    found = TextPass(model, tokens, [Component(0, 0)])
    assert len(found.lens(5)) == len(found.lens(0)) > 1
    assert_close(found.attention(0).sum(-1), torch.ones(found.attention(0).shape[:2]))
    assert found.scores != TextPass(model, tokens).scores
    assert len(list(continuation(model, tokens, [Component(0, 0)], count=2))) == 2


def prediction(likeliest: int) -> LayerPrediction:
    return LayerPrediction(0.0, ((likeliest, 1.0),), None, None)


def test_a_prediction_is_decided_from_the_layer_after_which_it_never_changes() -> None:
    assert decided_from([prediction(each) for each in (5, 1, 5, 5)], 5) == 2
    assert decided_from([prediction(each) for each in (5, 5)], 5) == 0
    assert decided_from([prediction(each) for each in (5, 1)], 5) is None


def test_a_head_is_called_by_its_scores_else_by_where_it_looks() -> None:
    even = torch.tril(torch.ones(8, 8))
    even /= even.sum(-1, keepdim=True)
    sink = torch.zeros(8, 8)
    sink[:, 0] = 1
    previous = torch.diag(torch.ones(7), -1)
    assert head_kind(even, {"induction": 0.61, "previous_token": 0.4}) == ("induction", 0.61)
    broad = head_kind(even, {"previous_token": 0.1})
    assert broad is not None
    assert broad.name == "broad"
    assert broad.score == pytest.approx(1.0)
    assert head_kind(sink, {}) == ("first token", 1.0)
    assert head_kind(previous, {"previous_token": 0.2}) is None
