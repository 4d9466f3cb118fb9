"""Samples as pieces of text, while they are drawn."""

from dataclasses import replace

import pytest

from builders.corpora import prepared
from builders.models import lively_model
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.runs.sampling import (
    Collected,
    LoadedRun,
    draw,
    stream_pieces,
    token_text,
)
from transformer_playground.sampling.prompts import Prompt

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
    pieces = list(stream_pieces(loaded))
    for row in draw(loaded):
        own = [piece for piece in pieces if piece.sample == row["index"]]
        assert "".join(piece.text for piece in own) == row["text"]
        assert [piece.finish_reason for piece in own] == [None] * LENGTH + ["length"]
        drawn = [piece.drawn for piece in own if piece.drawn]
        assert [each.token for each in drawn] == row["tokens"]
        assert [each.logprob for each in drawn] == row["logprobs"]


def test_samples_grow_side_by_side(loaded: LoadedRun) -> None:
    order = [piece.sample for piece in stream_pieces(loaded) if piece.drawn]
    assert order == [0, 1, 2] * LENGTH


def test_the_likeliest_tokens_can_be_had_beside_each_drawn_one(loaded: LoadedRun) -> None:
    for piece in stream_pieces(loaded, alternatives=4):
        if piece.drawn is None:
            continue
        scores = [each.logprob for each in piece.drawn.alternatives]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)
        assert scores[0] >= piece.drawn.logprob
        assert all(token_text(loaded.tokenizer, each.token) for each in piece.drawn.alternatives)


def test_samples_stop_at_once_and_keep_what_they_have(loaded: LoadedRun) -> None:
    collected = Collected(loaded)
    pieces = stream_pieces(loaded, cancelled=lambda: bool(collected.row(2)["tokens"]))
    for piece in pieces:
        collected.add(piece)
    for row, whole in zip(collected.rows(), draw(loaded), strict=True):
        assert row["finish_reason"] == "cancelled"
        assert row["tokens"] == whole["tokens"][:1]
        assert row["text"] == whole["text"][: len(row["text"])]
        assert collected.is_whole(row["index"])


def test_more_samples_than_one_batch_holds_come_in_order(loaded: LoadedRun) -> None:
    many = replace(loaded, decoding=loaded.decoding.model_copy(update={"num_samples": 70}))
    ended = [piece.sample for piece in stream_pieces(many) if piece.finish_reason]
    assert ended == list(range(70))
    assert [row["tokens"] for row in draw(many)][:3] == [row["tokens"] for row in draw(loaded)]
