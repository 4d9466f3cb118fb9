"""The engine: many completions together give what each gives alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from builders.models import lively_model
from builders.serving import ALPHABET, ReadEngine, break_weights
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.generation.generate import SamplingSettings, generate
from transformer_playground.generation.samples import Sample, SampledToken
from transformer_playground.model.base import LanguageModel
from transformer_playground.serving.decoders import PromptDecoder
from transformer_playground.serving.engine import QueueFull
from transformer_playground.serving.jobs import Job, JobFailed, PromptScores

TOKENIZER = CharTokenizer(sorted(ALPHABET))
DRAWS = SamplingSettings(max_new_tokens=30, temperature=1.0, top_k=0, top_p=1.0, seed=5)
GREEDY = replace(DRAWS, temperature=0.0)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return lively_model(TOKENIZER.vocab_size, positional_encoding="rope", block_size=16)


def alone(model: LanguageModel, job: Job) -> list[tuple[int, ...]]:
    found = generate(model, job.prompt, job.settings, n_samples=job.n, tokenizer=TOKENIZER)
    return [sample.token_ids for sample in found]


def ids(samples: list[Sample]) -> list[tuple[int, ...]]:
    return [sample.token_ids for sample in samples]


def test_jobs_of_different_settings_share_batches_and_are_as_if_alone(
    model: LanguageModel,
) -> None:
    jobs = [
        Job((3, 1, 4), DRAWS, n=3),
        Job((1,), GREEDY),
        Job(tuple(range(16)), replace(DRAWS, seed=9, top_k=3, max_new_tokens=50)),
        Job((2, 7), replace(DRAWS, seed=10, top_p=0.5, temperature=0.7, max_new_tokens=1)),
        Job((2, 7, 1, 8), replace(DRAWS, seed=11)),
    ]
    with ReadEngine(model, TOKENIZER, max_rows=4) as read:
        read.engine.submit(jobs)
        read.wait_for(*jobs)
        assert read.engine.open_jobs == 0
    for job in jobs:
        assert ids(read.samples(job)) == alone(model, job)


def test_a_job_joins_while_another_one_runs(model: LanguageModel) -> None:
    first = Job((3, 1, 4), replace(DRAWS, max_new_tokens=400))
    second = Job((5, 9), DRAWS)
    with ReadEngine(model, TOKENIZER) as read:
        read.engine.submit([first])
        read.read()
        read.engine.submit([second])
        read.wait_for(second)
        assert len(read.samples(first)[0].tokens) < 400
        read.wait_for(first)
    assert ids(read.samples(second)) == alone(model, second)
    assert ids(read.samples(first)) == alone(model, first)


def test_a_model_whose_rows_have_one_length_decodes_each_prompt_as_a_batch(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transformer_playground.serving.engine.build_decoder", PromptDecoder, raising=True
    )
    jobs = [Job((3, 1, 4), DRAWS, n=3), Job((1,), GREEDY), Job((2, 7), replace(DRAWS, seed=1), n=2)]
    with ReadEngine(model, TOKENIZER, max_rows=5) as read:
        read.engine.submit(jobs)
        read.wait_for(*jobs)
    for job in jobs:
        assert ids(read.samples(job)) == alone(model, job)


def test_a_cancelled_job_frees_its_places(model: LanguageModel) -> None:
    endless = Job((3,), replace(DRAWS, max_new_tokens=100_000), n=2)
    queued = Job((4,), replace(DRAWS, max_new_tokens=100_000))
    last = Job((5,), DRAWS)
    with ReadEngine(model, TOKENIZER, max_rows=2) as read:
        read.engine.submit([endless, queued])
        read.read()
        read.engine.cancel([endless, queued])
        read.engine.submit([last])
        read.wait_for(last)
        assert read.engine.open_jobs == 0
    assert queued not in read.by_job


def test_a_full_queue_refuses_all_jobs_of_a_request(model: LanguageModel) -> None:
    endless = Job((3,), replace(DRAWS, max_new_tokens=100_000))
    with ReadEngine(model, TOKENIZER, max_rows=1, max_waiting=3) as read:
        read.engine.submit([endless])
        read.read()
        queued = [Job((number,), DRAWS) for number in range(3)]
        read.engine.submit(queued)
        with pytest.raises(QueueFull):
            read.engine.submit([Job((1,), DRAWS)])
        read.engine.cancel([endless])
        read.wait_for(*queued)


def test_a_request_larger_than_the_queue_is_accepted_when_nothing_waits(
    model: LanguageModel,
) -> None:
    job = Job((3,), DRAWS, n=6)
    with ReadEngine(model, TOKENIZER, max_rows=2, max_waiting=3) as read:
        read.engine.submit([job])
        read.wait_for(job)
    assert ids(read.samples(job)) == alone(model, job)


def test_stop_tokens_end_a_completion_and_are_not_part_of_it(model: LanguageModel) -> None:
    job = Job((3, 1, 4), replace(DRAWS, max_new_tokens=60))
    (tokens,) = alone(model, job)
    stopping = replace(job, stop_tokens=frozenset({tokens[4]}))
    with ReadEngine(model, TOKENIZER) as read:
        read.engine.submit([stopping])
        read.wait_for(stopping)
    (sample,) = read.samples(stopping)
    assert sample.token_ids == tokens[: tokens.index(tokens[4])]
    assert sample.finish_reason == "stop"


def test_a_stop_text_over_several_tokens_ends_a_completion(model: LanguageModel) -> None:
    job = Job((3, 1, 4), replace(DRAWS, max_new_tokens=60))
    (sample,) = generate(model, job.prompt, job.settings, tokenizer=TOKENIZER)
    stop = sample.text[10:13]
    stopping = replace(job, stop=(stop, "zzzz"))
    with ReadEngine(model, TOKENIZER) as read:
        read.engine.submit([stopping])
        read.wait_for(stopping)
    (cut,) = read.samples(stopping)
    assert cut.text == sample.text[: sample.text.index(stop)]
    assert cut.finish_reason == "stop"


def test_prompts_are_scored_as_the_model_scores_them(model: LanguageModel) -> None:
    job = Job((3, 1, 4, 1), replace(DRAWS, max_new_tokens=0), alternatives=2, scores_prompt=True)
    with ReadEngine(model, TOKENIZER) as read:
        read.engine.submit([job])
        read.wait_for(job)
    (scores,) = [each for each in read.by_job[job] if isinstance(each, PromptScores)]
    with torch.inference_mode():
        expected = model(torch.tensor([job.prompt]))[0].log_softmax(-1)
    assert scores.logprobs[0] is None
    own = [float(expected[at, token]) for at, token in enumerate(job.prompt[1:])]
    assert scores.logprobs[1:] == pytest.approx(own, abs=1e-4)
    assert scores.alternatives[1] is not None
    assert scores.alternatives[1][0].id == int(expected[0].argmax())
    assert read.samples(job)[0].finish_reason == "length"


def test_alternatives_are_as_many_as_each_job_asks_for(model: LanguageModel) -> None:
    jobs = [Job((1,), DRAWS, alternatives=count) for count in (0, 2, 5)]
    with ReadEngine(model, TOKENIZER) as read:
        read.engine.submit(jobs)
        read.wait_for(*jobs)
    for job in jobs:
        drawn = [each for each in read.by_job[job] if isinstance(each, SampledToken)]
        assert {len(each.alternatives) for each in drawn} == {job.alternatives}


def test_ids_beyond_the_tokenizer_are_never_drawn() -> None:
    padded = lively_model(TOKENIZER.vocab_size + 7, block_size=16)
    jobs = [Job((1,), replace(DRAWS, seed=seed)) for seed in range(8)]
    with ReadEngine(padded, TOKENIZER) as read:
        read.engine.submit(jobs)
        read.wait_for(*jobs)
    drawn = {token for job in jobs for sample in read.samples(job) for token in sample.token_ids}
    assert max(drawn) < TOKENIZER.vocab_size


def test_diverged_weights_fail_the_job_with_a_sentence() -> None:
    broken = lively_model(TOKENIZER.vocab_size)
    break_weights(broken)
    job = Job((1,), DRAWS, n=2)
    with ReadEngine(broken, TOKENIZER) as read:
        read.engine.submit([job])
        read.wait_for(job)
    failed = [each for each in read.by_job[job] if isinstance(each, JobFailed)]
    assert "diverged" in failed[0].message


def test_a_failing_step_fails_its_jobs_and_the_engine_goes_on(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    whole = PromptDecoder.step

    def fail_once(self: PromptDecoder, tokens: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("out of memory")
        return whole(self, tokens)

    monkeypatch.setattr(PromptDecoder, "step", fail_once)
    monkeypatch.setattr("transformer_playground.serving.engine.build_decoder", PromptDecoder)
    first, queued = Job((1,), DRAWS), Job((2,), DRAWS)
    with ReadEngine(model, TOKENIZER, max_rows=1) as read:
        read.engine.submit([first, queued])
        read.wait_for(first, queued)
    end = read.by_job[first][-1]
    assert isinstance(end, JobFailed)
    assert "out of memory" in end.message
    assert ids(read.samples(queued)) == alone(model, queued)
