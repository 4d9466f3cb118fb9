from typing import Any

import pytest
import torch
from torch.testing import assert_close

from builders.models import lively_model, tokens_of
from transformer_playground.inspection.heads import (
    attention_patterns,
    repeated_tokens,
    score_heads,
    scores_of,
)
from transformer_playground.inspection.lens import attribute_logits

REPEAT = 5


def test_attention_equals_that_computed_from_the_weights_of_a_layer() -> None:
    model: Any = lively_model(n_layer=1, n_head=2, n_embd=8, positional_encoding="none", bias=True)
    tokens = tokens_of(0, 1, 6)
    block = model.blocks[0]
    normed = torch.nn.functional.layer_norm(
        model.token_embedding.weight[tokens],
        (8,),
        block.attention_norm.weight,
        block.attention_norm.bias,
    )
    projected = normed @ block.attention.qkv.weight.T + block.attention.qkv.bias
    for head in range(2):
        queries, keys = (
            projected[0, :, start + 4 * head : start + 4 * head + 4] for start in (0, 8)
        )
        scores = queries @ keys.T / 2
        by_hand = torch.stack(
            [
                torch.cat((scores[row, : row + 1].softmax(0), torch.zeros(5 - row)))
                for row in range(6)
            ]
        )
        assert_close(attention_patterns(model, tokens)[0, 0, head], by_hand)


def test_a_window_hides_keys_that_are_further_away() -> None:
    patterns = attention_patterns(lively_model(attention_window=3), tokens_of(0, 1, 8))
    assert patterns[..., 7, :5].abs().max() == 0
    assert patterns[..., 7, 5:].min() > 0


@pytest.mark.parametrize(
    ("distance", "expected"),
    [(1, "previous_token"), (REPEAT, "duplicate_token"), (REPEAT - 1, "induction")],
)
def test_a_head_that_only_attends_to_one_distance_has_that_score(
    distance: int, expected: str
) -> None:
    pattern = torch.zeros(2 * REPEAT, 2 * REPEAT)
    for query in range(distance, 2 * REPEAT):
        pattern[query, query - distance] = 1
    scores = scores_of(pattern.expand(3, 2, 1, -1, -1))
    for name in ("previous_token", "duplicate_token", "induction"):
        value = getattr(scores, name)
        assert value.shape == (3, 1)
        assert value.max() == (1 if name == expected else 0)


def test_even_attention_scores_low_and_the_tokens_come_twice() -> None:
    model: Any = lively_model(block_size=12)
    with torch.no_grad():
        for block in model.blocks:
            block.attention.qkv.weight.zero_()
    tokens = repeated_tokens(model, excluded=4)
    assert torch.equal(tokens[:, :6], tokens[:, 6:])
    assert 4 not in tokens
    # Each of the tokens 6 to 11 attends evenly to itself and all before it.
    expected = sum(1 / keys for keys in range(7, 13)) / 6
    scores = score_heads(model)
    assert_close(scores.induction, torch.full((2, 4), expected))


def test_the_part_that_writes_a_token_gets_its_logit() -> None:
    model: Any = lively_model(n_layer=2, positional_encoding="none", norm="rmsnorm")
    tokens = tokens_of(0, 1, 4)
    with torch.no_grad():
        for block in model.blocks:
            block.attention.output.weight.zero_()
            block.mlp.down.weight.zero_()
        # Head 3 of the last layer writes only along the embedding of token 5.
        model.blocks[1].attention.output.weight[:, 12:] = model.token_embedding.weight[5, :, None]
    found = attribute_logits(model, tokens, torch.full_like(tokens, 5))
    assert_close(found.embedding + found.heads[1, ..., 3], found.logits)
    assert found.heads[0].abs().max() == found.heads[1, ..., :3].abs().max() == 0
    assert found.heads[1, ..., 3].abs().min() > 0


def test_attributions_against_another_token_are_differences() -> None:
    model, tokens = lively_model(), tokens_of(0, 1, 4)
    one, other = torch.full_like(tokens, 5), torch.full_like(tokens, 2)
    difference = attribute_logits(model, tokens, one, other)
    separate = [attribute_logits(model, tokens, each) for each in (one, other)]
    assert_close(difference.heads, separate[0].heads - separate[1].heads)
