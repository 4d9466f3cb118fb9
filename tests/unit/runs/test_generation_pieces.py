"""Samples of a run as a stream of tokens."""

from dataclasses import replace

import pytest

from builders.corpora import prepared
from builders.models import lively_model
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.generation.prompts import Prompt
from transformer_playground.generation.samples import Sample, SampledToken, SampleEnd
from transformer_playground.runs.generation import LoadedRun, draw, stream_samples, token_text

LENGTH = 9


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    """Three samples of a character model."""
    folder = tmp_path_factory.mktemp("pieces")
    tokenizer = load_tokenizer(prepared(folder).dataset_dir)
    return LoadedRun(
        run_id="r",
        checkpoint=folder / "last.pt",
        step=1,
        skipped=(),
        model=lively_model(tokenizer.vocab_size),
        tokenizer=tokenizer,
        prompt=Prompt("T", (1,)),
        decoding=DecodingConfig(num_samples=3, max_new_tokens=LENGTH, temperature=2),
        seed=1,
    )


def test_pieces_joined_are_the_whole_samples(loaded: LoadedRun) -> None:
    events = list(stream_samples(loaded))
    for row in draw(loaded):
        own = [event for event in events if event.sample == row["index"]]
        assert "".join(event.text for event in own) == row["text"]
        assert own[LENGTH:] == [SampleEnd(row["index"], "length")]
        drawn = [event for event in own if isinstance(event, SampledToken)]
        assert len(drawn) == LENGTH
        assert [each.id for each in drawn] == row["tokens"]
        assert [each.logprob for each in drawn] == row["logprobs"]


def test_samples_are_generated_in_parallel(loaded: LoadedRun) -> None:
    events = stream_samples(loaded)
    order = [event.sample for event in events if isinstance(event, SampledToken)]
    assert order == [0, 1, 2] * LENGTH


def test_the_most_likely_tokens_can_be_requested_for_each_position(loaded: LoadedRun) -> None:
    for token in stream_samples(loaded, alternatives=4):
        if isinstance(token, SampleEnd):
            continue
        scores = [each.logprob for each in token.alternatives]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)
        assert scores[0] >= token.logprob
        assert all(token_text(loaded.tokenizer, each.id) for each in token.alternatives)


def test_samples_stop_at_once_and_keep_their_text(loaded: LoadedRun) -> None:
    samples = [Sample() for _ in range(3)]
    for event in stream_samples(loaded, cancelled=lambda: bool(samples[2].tokens)):
        samples[event.sample].add(event)
    for sample, whole in zip(samples, draw(loaded), strict=True):
        assert sample.finish_reason == "cancelled"
        assert list(sample.token_ids) == whole["tokens"][:1]
        assert sample.text == whole["text"][: len(sample.text)]
        assert sample.end is not None


def test_samples_that_never_started_also_end(loaded: LoadedRun) -> None:
    many = replace(loaded, decoding=loaded.decoding.model_copy(update={"num_samples": 70}))
    events = list(stream_samples(many, cancelled=lambda: True))
    assert events == [SampleEnd(sample, "cancelled") for sample in range(70)]


def test_more_samples_than_one_batch_are_returned_in_order(loaded: LoadedRun) -> None:
    many = replace(loaded, decoding=loaded.decoding.model_copy(update={"num_samples": 70}))
    events = stream_samples(many)
    ended = [event.sample for event in events if isinstance(event, SampleEnd)]
    assert ended == list(range(70))
    assert [row["tokens"] for row in draw(many)][:3] == [row["tokens"] for row in draw(loaded)]
