"""The server, used with OpenAI's own client."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from builders.serving import RunningServer, serving, write_run
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation import draw, load_run
from transformer_playground.runs.generation_request import SampleRequest


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[RunningServer]:
    with serving(write_run(runs)) as running:
        yield running
    assert running.notices == []


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def test_the_run_is_the_only_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny-1"]
    assert client.models.retrieve("tiny-1").owned_by == "transformer-playground"
    with pytest.raises(openai.NotFoundError, match="this server has 'tiny-1'"):
        client.models.retrieve("gpt-5")
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="gpt-5", prompt="a")


def test_a_completion_is_what_tp_sample_draws(client: openai.OpenAI, runs: Path) -> None:
    answer = client.completions.create(
        model="tiny-1",
        prompt="ab ",
        max_tokens=40,
        seed=11,
        n=3,
        temperature=0.9,
        top_p=0.8,
        extra_body={"top_k": 9},
    )
    request = SampleRequest(
        prompt="ab ",
        n_samples=3,
        max_new_tokens=40,
        seed=11,
        temperature=0.9,
        top_p=0.8,
        top_k=9,
    )
    rows = draw(load_run(RunFolder(runs / "tiny-1"), request))
    assert [choice.text for choice in answer.choices] == [row["text"] for row in rows]
    assert [choice.finish_reason for choice in answer.choices] == ["length"] * 3
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 120)


def test_a_stream_adds_up_to_the_whole_answer(client: openai.OpenAI) -> None:
    asked = {"model": "tiny-1", "prompt": "ab", "max_tokens": 50, "seed": 3, "n": 2, "logprobs": 2}
    whole = client.completions.create(**asked)  # type: ignore[call-overload]
    stream = client.completions.create(**asked, stream=True, stream_options={"include_usage": True})  # type: ignore[call-overload]
    texts, tokens, offsets, reasons, usage = ["", ""], [[], []], [[], []], [None, None], None  # type: ignore[var-annotated]
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            tokens[choice.index] += choice.logprobs.tokens
            offsets[choice.index] += choice.logprobs.text_offset
            reasons[choice.index] = choice.finish_reason
    assert texts == [choice.text for choice in whole.choices]
    assert tokens == [choice.logprobs.tokens for choice in whole.choices]
    assert offsets == [choice.logprobs.text_offset for choice in whole.choices]
    assert reasons == ["length", "length"]
    assert usage == whole.usage


def test_several_prompts_and_tokens_are_completed_in_order(client: openai.OpenAI) -> None:
    asked = {"model": "tiny-1", "max_tokens": 9, "temperature": 0}
    together = client.completions.create(prompt=["ab", "xyz"], n=2, **asked)  # type: ignore[call-overload]
    single = [
        client.completions.create(prompt=prompt, **asked).choices[0].text  # type: ignore[call-overload]
        for prompt in ("ab", "xyz")
    ]
    assert [choice.index for choice in together.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in together.choices] == [single[0]] * 2 + [single[1]] * 2
    ids = client.completions.create(prompt=[2, 3], **asked).choices[0].text  # type: ignore[call-overload]
    assert ids == single[0]


def test_the_prompt_is_echoed_and_scored(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="tiny-1", prompt="äb c", max_tokens=0, echo=True, logprobs=3
    )
    (choice,) = answer.choices
    assert choice.text == "äb c"
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["ä", "b", " ", "c"]
    assert choice.logprobs.text_offset == [0, 1, 2, 3]
    scores = choice.logprobs.token_logprobs
    assert scores is not None
    assert scores[0] is None
    assert all(score is not None and score < 0 for score in scores[1:])
    assert [len(top) for top in (choice.logprobs.top_logprobs or [])[1:]] == [3, 3, 3]
    longer = client.completions.create(
        model="tiny-1", prompt="äb c", max_tokens=4, echo=True, logprobs=0, temperature=0
    ).choices[0]
    assert longer.logprobs is not None
    assert longer.text.startswith("äb c")
    assert longer.logprobs.token_logprobs is not None
    assert longer.logprobs.token_logprobs[1:4] == pytest.approx(scores[1:4], abs=1e-5)
    assert longer.logprobs.text_offset == list(range(8))


def test_a_stop_text_is_not_part_of_the_answer(client: openai.OpenAI) -> None:
    asked = {"model": "tiny-1", "prompt": "ab", "max_tokens": 60, "seed": 3}
    text = client.completions.create(**asked).choices[0].text  # type: ignore[call-overload]
    stop = text[20:23]
    stopped = client.completions.create(**asked, stop=["zzzzz", stop]).choices[0]  # type: ignore[call-overload]
    assert stopped.text == text[: text.index(stop)]
    assert stopped.finish_reason == "stop"


def test_settings_left_out_are_those_of_the_run(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny-1", prompt="ab")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 200


def test_without_a_chat_template_chats_are_refused_with_the_way_out(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError, match="no chat template; use /v1/completions"):
        client.chat.completions.create(model="tiny-1", messages=[{"role": "user", "content": "a"}])


def test_a_token_is_asked_for(runs: Path) -> None:
    run = write_run(runs, "secret")
    with serving(run, token="secret-token") as running:

        def models(key: str) -> list[str]:
            with openai.OpenAI(base_url=running.url, api_key=key, max_retries=0) as client:
                return [model.id for model in client.models.list()]

        assert models("secret-token") == ["secret"]
        with pytest.raises(openai.AuthenticationError, match="missing or wrong"):
            models("secret-token2")
