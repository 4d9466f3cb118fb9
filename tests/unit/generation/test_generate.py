from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.models import VOCAB_SIZE, architectures, lively_model, tiny_model
from transformer_playground.config.model import ModelConfig
from transformer_playground.data.tokenizers.base import Tokenizer
from transformer_playground.errors import SamplingError
from transformer_playground.generation.generate import SamplingSettings, batches, generate, stream
from transformer_playground.generation.samples import Sample, SampledToken, SampleEnd
from transformer_playground.model.gpt import GPT

_PROMPT = (3, 1, 4)
_DRAWS = SamplingSettings(max_new_tokens=8, temperature=1.0, top_k=0, top_p=1.0, seed=5)
_GREEDY = replace(_DRAWS, temperature=0.0)


class Stops(Tokenizer):
    """A tokenizer of `VOCAB_SIZE` letters of which one may end a document."""

    kind = "char"
    vocab_size = VOCAB_SIZE
    bos_id = None

    def __init__(self, eos_id: int | None) -> None:
        super().__init__([bytes([65 + token]) for token in range(VOCAB_SIZE)])
        self.eos_id = eos_id

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> Self:
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError


def _tokens(samples: list[Sample]) -> list[tuple[int, ...]]:
    return [sample.token_ids for sample in samples]


@torch.inference_mode()
def _greedy_reference(model: GPT, prompt: tuple[int, ...], new: int) -> tuple[int, ...]:
    """No cache, no batch: read the context again for each token; cut it when it is full."""
    block = model.config.block_size
    context = list(prompt[-block:])
    drawn = []
    for _ in range(new):
        if len(context) > block:
            context = context[-(block // 2) :]
        drawn.append(int(model(torch.tensor([context]))[0, -1].argmax()))
        context.append(drawn[-1])
    return tuple(drawn)


@settings(max_examples=40, deadline=None)
@given(config=architectures(), length=st.integers(1, 12))
def test_greedy_tokens_equal_those_without_a_cache(config: ModelConfig, length: int) -> None:
    model = lively_model(config=config)
    prompt = tuple(i * i % 13 for i in range(length))
    fits = 12 - length + 1
    greedy = replace(_GREEDY, max_new_tokens=fits)
    assert generate(model, prompt, greedy)[0].token_ids == _greedy_reference(model, prompt, fits)


@pytest.mark.parametrize("length", [1, 11, 12, 13, 40])
@pytest.mark.parametrize("positions", ["learned", "rope", "alibi"])
def test_generation_continues_beyond_the_context_length(positions: str, length: int) -> None:
    model = lively_model(positional_encoding=positions)
    prompt = tuple(i * i % 13 for i in range(length))
    greedy = replace(_GREEDY, max_new_tokens=50)
    assert generate(model, prompt, greedy)[0].token_ids == _greedy_reference(model, prompt, 50)


def test_the_cost_per_token_is_bounded_for_long_texts() -> None:
    model = tiny_model(block_size=16)
    read: list[int] = []
    model.token_embedding.register_forward_hook(
        lambda _m, inputs, _y: read.append(inputs[0].shape[1])
    )
    generate(model, _PROMPT, replace(_DRAWS, max_new_tokens=400))
    assert max(read) == 8
    assert sum(read) <= 2 * 400 + 16


def test_the_prompt_is_processed_once_for_all_samples() -> None:
    model = tiny_model()
    read: list[tuple[int, int]] = []
    model.token_embedding.register_forward_hook(
        lambda _module, inputs, _output: read.append(tuple(inputs[0].shape[:2]))
    )
    generate(model, _PROMPT, replace(_DRAWS, max_new_tokens=3), n_samples=5)
    assert read == [(1, 3), (5, 1), (5, 1)]


def test_a_context_of_one_token_still_works() -> None:
    model = lively_model(block_size=1)
    assert len(generate(model, _PROMPT, _DRAWS)[0].token_ids) == 8


@pytest.mark.parametrize("filters", [{}, {"top_k": 3}, {"top_p": 0.7}, {"top_k": 5, "top_p": 0.5}])
def test_samples_depend_on_the_seed_only(filters: dict[str, float]) -> None:
    model, draws = lively_model(), replace(_DRAWS, **filters)  # type: ignore[arg-type]
    torch.manual_seed(1)
    first = generate(model, _PROMPT, draws, n_samples=3)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert generate(model, _PROMPT, draws, n_samples=3) == first
    assert torch.equal(torch.get_rng_state(), before)
    assert _tokens(generate(model, _PROMPT, replace(draws, seed=6), n_samples=3)) != _tokens(first)


def test_samples_of_one_batch_differ() -> None:
    assert len(set(_tokens(generate(tiny_model(), _PROMPT, _DRAWS, n_samples=4)))) == 4


def test_asking_for_more_samples_keeps_the_first_ones() -> None:
    model = tiny_model()
    many = generate(model, _PROMPT, _DRAWS, n_samples=150)
    for fewer in (1, 3, 70):
        assert _tokens(generate(model, _PROMPT, _DRAWS, n_samples=fewer)) == _tokens(many)[:fewer]
    # Neighbouring seeds share none of them.
    others = generate(model, _PROMPT, replace(_DRAWS, seed=_DRAWS.seed + 1), n_samples=150)
    assert len({*_tokens(many), *_tokens(others)}) == 300


def test_many_samples_are_drawn_in_batches_of_nearly_equal_size() -> None:
    model = tiny_model()
    sizes: list[int] = []
    model.token_embedding.register_forward_hook(lambda _m, inputs, _y: sizes.append(len(inputs[0])))
    generate(model, _PROMPT, replace(_DRAWS, max_new_tokens=2), n_samples=130)
    assert sizes == [1, 43, 1, 43, 1, 44]


def test_samples_with_large_caches_are_drawn_few_at_a_time() -> None:
    # Keys and values of one of them take 2 * 2 layers * 16 * 4 bytes for each token: 256 MiB.
    model = tiny_model(block_size=2**20, positional_encoding="none")
    assert [len(batch) for batch in batches(model, 9, 2**20)] == [3, 3, 3]
    assert [len(batch) for batch in batches(model, 2, 2**40)] == [1, 1]


def test_alternatives_are_the_most_likely_tokens_in_order() -> None:
    model = lively_model()
    seen: list[int] = [*_PROMPT]
    for drawn in stream(model, _PROMPT, _DRAWS, alternatives=VOCAB_SIZE + 5):
        if isinstance(drawn, SampleEnd):
            continue
        with torch.inference_mode():
            logprobs = model(torch.tensor([seen]))[0, -1].log_softmax(dim=-1)
        assert [each.id for each in drawn.alternatives] == logprobs.argsort(
            descending=True
        ).tolist()
        assert drawn.logprob in [each.logprob for each in drawn.alternatives]
        assert drawn.alternatives[0].logprob == pytest.approx(float(logprobs.max()), abs=1e-4)
        seen.append(drawn.id)
    for count in (2, 0):
        first = next(stream(model, _PROMPT, _DRAWS, alternatives=count))
        assert isinstance(first, SampledToken)
        assert len(first.alternatives) == count


def test_a_stream_says_which_samples_have_ended_and_why() -> None:
    model = tiny_model()
    draws = replace(_DRAWS, max_new_tokens=15)
    events = list(stream(model, _PROMPT, draws, n_samples=12, tokenizer=Stops(7)))
    whole = generate(model, _PROMPT, draws, n_samples=12, tokenizer=Stops(7))
    endings = [event for event in events if isinstance(event, SampleEnd)]
    assert sorted(end.sample for end in endings) == list(range(12))
    for end in endings:
        assert end.finish_reason == whole[end.sample].finish_reason


def test_a_stream_yields_the_samples_that_generate_returns() -> None:
    model = lively_model()
    events = list(stream(model, _PROMPT, _DRAWS, n_samples=3, tokenizer=Stops(7)))
    whole = generate(model, _PROMPT, _DRAWS, n_samples=3, tokenizer=Stops(7))
    for sample, generation in enumerate(whole):
        drawn = [
            event for event in events if isinstance(event, SampledToken) and event.sample == sample
        ]
        assert drawn == [
            SampledToken(sample, position, token, logprob, chr(65 + token))
            for position, (token, logprob) in enumerate(
                zip(generation.token_ids, generation.logprobs, strict=True)
            )
        ]
        assert generation.text == "".join(token.text for token in drawn)


def test_a_stream_computes_only_the_tokens_that_are_read() -> None:
    model = tiny_model()
    passes: list[int] = []
    model.token_embedding.register_forward_hook(lambda *_: passes.append(1))
    first_two = list(islice(stream(model, _PROMPT, _DRAWS), 2))
    assert [token.position for token in first_two if isinstance(token, SampledToken)] == [0, 1]
    assert len(passes) == 2


def test_a_sample_ends_before_its_stop_token_and_changes_no_other() -> None:
    model = tiny_model()
    draws = replace(_DRAWS, max_new_tokens=15)
    free = generate(model, _PROMPT, draws, n_samples=12)
    stopped = generate(model, _PROMPT, draws, n_samples=12, tokenizer=Stops(7))
    assert {generation.finish_reason for generation in stopped} == {"stop", "length"}
    for whole, cut in zip(free, stopped, strict=True):
        end = whole.token_ids.index(7) if 7 in whole.token_ids else len(whole.token_ids)
        assert cut.token_ids == whole.token_ids[:end]
        assert cut.finish_reason == ("stop" if end < len(whole.token_ids) else "length")


def test_ended_samples_are_no_longer_computed() -> None:
    model = tiny_model()
    sizes: list[int] = []
    model.token_embedding.register_forward_hook(lambda _m, inputs, _y: sizes.append(len(inputs[0])))
    draws = replace(_DRAWS, max_new_tokens=200)
    ends = [
        len(each.token_ids)
        for each in generate(model, _PROMPT, draws, n_samples=4, tokenizer=Stops(7))
    ]
    assert sizes[1:] == [sum(end >= step for end in ends) for step in range(1, len(sizes))]
    assert len(sizes) == max(ends) + 1 < 200


def test_rows_that_pad_the_vocabulary_are_never_drawn() -> None:
    model = lively_model(vocab_size=16)
    with torch.no_grad():
        model.token_embedding.weight[13:] *= 30
    free = generate(model, _PROMPT, _DRAWS, n_samples=8)
    assert any(token >= 13 for generation in free for token in generation.token_ids)
    for settings_ in (_DRAWS, _GREEDY):
        masked = generate(model, _PROMPT, settings_, n_samples=8, tokenizer=Stops(None))
        assert all(token < 13 for generation in masked for token in generation.token_ids)


def test_a_temperature_near_zero_is_greedy() -> None:
    model = lively_model()
    for temperature in (1e-4, 1e-40):
        cold = replace(_DRAWS, temperature=temperature)
        assert generate(model, _PROMPT, cold) == generate(model, _PROMPT, _GREEDY)


def test_log_probabilities_are_those_of_the_unfiltered_model() -> None:
    model = lively_model()
    draws = replace(_DRAWS, temperature=0.7, top_k=4, top_p=0.9)
    for generation in generate(model, _PROMPT, draws, n_samples=2):
        with torch.inference_mode():
            logits = model(torch.tensor([_PROMPT + generation.token_ids[:-1]]))[0, 2:]
        expected = logits.log_softmax(dim=-1).gather(1, torch.tensor([generation.token_ids]).T)
        torch.testing.assert_close(
            torch.tensor(generation.logprobs), expected.flatten(), rtol=1e-4, atol=1e-4
        )


def test_cancelling_takes_effect_before_the_next_token() -> None:
    asked: list[bool] = []

    def after_three() -> bool:
        asked.append(True)
        return len(asked) > 3

    (generation,) = generate(tiny_model(), _PROMPT, _DRAWS, cancelled=after_three)
    assert generation.finish_reason == "cancelled"
    assert len(generation.token_ids) == 3


def test_sampling_restores_the_mode_of_the_model() -> None:
    model = lively_model(dropout=0.5)
    quiet = generate(model, _PROMPT, _DRAWS)
    model.train()
    tokens = []
    for event in stream(model, _PROMPT, _DRAWS):
        assert model.training
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        if isinstance(event, SampledToken):
            tokens.append(event.id)
    assert tuple(tokens) == quiet[0].token_ids


def test_a_bfloat16_model_samples() -> None:
    model = lively_model().to(torch.bfloat16)
    assert len(generate(model, _PROMPT, _DRAWS, n_samples=2)[1].token_ids) == 8


@pytest.mark.parametrize(
    ("prompt", "changes", "message"),
    [
        ((), {}, "the prompt is empty"),
        ((3, 13), {}, "token id 13, but the vocabulary is 0 to 12"),
        ((-1,), {}, "token id -1"),
        (_PROMPT, {"max_new_tokens": 0}, "max_new_tokens"),
        (_PROMPT, {"temperature": -1.0}, "temperature"),
        (_PROMPT, {"temperature": float("nan")}, "temperature"),
        (_PROMPT, {"top_k": -1}, "top_k"),
        (_PROMPT, {"top_p": 0.0}, "top_p"),
        (_PROMPT, {"top_p": 1.1}, "top_p"),
    ],
)
def test_invalid_requests_are_refused_before_sampling(
    prompt: tuple[int, ...], changes: dict[str, float], message: str
) -> None:
    impossible = replace(_DRAWS, **changes)  # type: ignore[arg-type]
    with pytest.raises(SamplingError, match=message):
        stream(tiny_model(), prompt, impossible)
    with pytest.raises(SamplingError, match=message):
        generate(tiny_model(), prompt, impossible)


def test_zero_samples_are_refused() -> None:
    with pytest.raises(SamplingError, match="number of samples"):
        generate(tiny_model(), _PROMPT, _DRAWS, n_samples=0)
