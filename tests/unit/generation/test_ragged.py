"""Continuous batching: each row is decoded as if it were alone."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.models import VOCAB_SIZE, architectures, lively_model
from transformer_playground.config.model import ModelConfig
from transformer_playground.generation.ragged import RaggedDecoder
from transformer_playground.model.gpt import GPT


class Alone:
    """Next logits of one sequence without cache or batch; a full context is cut as in sampling."""

    def __init__(self, model: GPT, prompt: list[int]) -> None:
        self._model, self._block = model, model.block_size
        self.context = prompt[-self._block :]

    def logits(self) -> torch.Tensor:
        return torch.as_tensor(self._model(torch.tensor([self.context]))[0, -1]).float()

    def append(self, token: int) -> None:
        self.context.append(token)
        if len(self.context) > self._block:
            self.context = self.context[-(self._block // 2) :]


@torch.inference_mode()
def play(model: GPT, seed: int, steps: int) -> None:
    """Let sequences join, copy and leave at random, and compare every row at every step."""
    chance = random.Random(seed)
    decoder = RaggedDecoder(model)
    alone: dict[object, Alone] = {}
    for number in range(steps):
        logits = [torch.empty(0, model.vocab_size)]
        if decoder.rows:
            tokens = [chance.randrange(VOCAB_SIZE) for _ in decoder.rows]
            for name, token in zip(decoder.rows, tokens, strict=True):
                alone[name].append(token)
            logits.append(decoder.step(torch.tensor(tokens)))
        if chance.random() < 0.6:
            prompt = [chance.randrange(VOCAB_SIZE) for _ in range(chance.randint(1, 15))]
            names = [f"{number}.{copy}" for copy in range(chance.choice([1, 1, 3]))]
            logits.append(decoder.add(names, prompt, max_new_tokens=1))
            alone |= {name: Alone(model, prompt) for name in names}
        for name, row in zip(decoder.rows, torch.cat(logits), strict=True):
            torch.testing.assert_close(row, alone[name].logits(), rtol=1e-3, atol=1e-3)
        while decoder.rows and chance.random() < 0.3:
            decoder.remove(chance.choice(decoder.rows))


@settings(max_examples=40, deadline=None)
@given(config=architectures(), seed=st.integers(0, 1000))
def test_rows_of_any_architecture_are_as_if_decoded_alone(config: ModelConfig, seed: int) -> None:
    play(lively_model(config=config), seed, steps=12)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rope", "alibi", "none"])
def test_rows_go_on_beyond_the_context_length_each_at_its_own_time(positions: str) -> None:
    play(lively_model(positional_encoding=positions, attention_window=5), 7, steps=60)


def test_rows_of_a_model_in_bfloat16_stay_apart() -> None:
    model = lively_model(positional_encoding="rope", n_kv_head=2).to(torch.bfloat16)
    decoder = RaggedDecoder(model)
    with torch.inference_mode():
        first = decoder.add(["a"], [1, 2, 3, 4, 5], max_new_tokens=1)
        decoder.add(["b"], [6], max_new_tokens=1)
        together = decoder.step(torch.tensor([7, 8]))
        single = RaggedDecoder(model)
        single.add(["b"], [6], max_new_tokens=1)
        alone = single.step(torch.tensor([8]))
    assert first.dtype == together.dtype == torch.float32
    torch.testing.assert_close(together[1], alone[0], rtol=0.05, atol=0.3)


def test_the_last_row_takes_the_place_of_a_removed_one() -> None:
    decoder = RaggedDecoder(lively_model())
    with torch.inference_mode():
        decoder.add(["a", "b", "c"], [1, 2], max_new_tokens=1)
    decoder.remove("a")
    assert decoder.rows == ["c", "b"]
    decoder.remove("b")
    assert decoder.rows == ["c"]
