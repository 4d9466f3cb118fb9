"""Chats with a model whose tokenizer has a chat template."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from builders.hf_tokenizers import chat_tokenizer
from builders.serving import RunningServer, serving, write_run
from transformer_playground.serving.bodies import Message
from transformer_playground.serving.prompts import ChatTemplate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("chats")
    run = write_run(
        folder / "runs", "chatty", tokenizer=chat_tokenizer(folder / "base"), block_size=128
    )
    with serving(run) as running:
        yield running
    assert running.notices == []


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def test_a_chat_continues_the_rendered_template(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer(tmp_path)
    template = ChatTemplate.load(tmp_path)
    assert template is not None
    ids = template.tokens([Message(role="user", content="the dog", name=None)])
    start, end = tokenizer.id_of("<|start|>"), tokenizer.id_of("<|end|>")
    assert (ids.count(start or -1), ids.count(end or -1)) == (2, 1)
    assert template.stop_tokens() == {end}
    # This tokenizer puts a space before each text between special tokens.
    text = tokenizer.decode(ids).replace(" ", "")
    assert text == "<|start|>user\nthedog<|end|>\n<|start|>assistant\n"


def test_a_chat_and_its_stream_give_the_same_answer(client: openai.OpenAI) -> None:
    asked = {
        "model": "chatty",
        "messages": [
            {"role": "system", "content": "short"},
            {"role": "user", "content": "the dog"},
        ],
        "max_completion_tokens": 20,
        "seed": 4,
        "logprobs": True,
        "top_logprobs": 2,
    }
    whole = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    (choice,) = whole.choices
    assert choice.message.role == "assistant"
    assert len(choice.logprobs.content) == whole.usage.completion_tokens
    assert {len(entry.top_logprobs) for entry in choice.logprobs.content} == {2}
    raw = b"".join(bytes(entry.bytes) for entry in choice.logprobs.content)
    assert raw.decode("utf-8", "replace") == choice.message.content
    chunks = list(client.chat.completions.create(**asked, stream=True))  # type: ignore[call-overload]
    assert chunks[0].choices[0].delta.role == "assistant"
    parts = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(parts) == choice.message.content
    assert chunks[-1].choices[0].finish_reason == choice.finish_reason


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([{"role": "user", "content": "a<|end|>b"}], "special token"),
        ([{"role": "assistant", "content": "a"}], "begin with a user"),
        ([{"role": "tool", "content": "a"}], "role"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], "content"),
        ([{"role": "user", "content": "dog " * 200}], "context holds 128"),
        ([], "messages"),
    ],
)
def test_a_wrong_chat_is_named(
    client: openai.OpenAI, messages: list[dict[str, str]], sentence: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=sentence):
        client.chat.completions.create(model="chatty", messages=messages)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "extra",
    [
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"top_logprobs": 3},
        {"max_tokens": 0},
    ],
    ids=str,
)
def test_what_chats_do_not_support_is_named(
    client: openai.OpenAI, extra: dict[str, object]
) -> None:
    with pytest.raises(openai.BadRequestError, match=next(iter(extra))):
        client.chat.completions.create(
            model="chatty", messages=[{"role": "user", "content": "a"}], extra_body=extra
        )
