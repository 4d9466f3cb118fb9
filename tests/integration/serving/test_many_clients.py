"""Many clients at once, a full queue, and the end of the server while requests run."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import openai
import pytest

from builders.serving import RunningServer, serving, write_run

CLIENTS = 200


def asked(number: int) -> dict[str, Any]:
    """A request that differs from most others in prompt, length and settings."""
    return {
        "model": "tiny-1",
        "prompt": "abcdefghij"[: 1 + number % 10],
        "max_tokens": 1 + number % 7,
        "seed": number % 20,
        "temperature": 0 if number % 3 == 0 else 1,
    }


async def ask_all(running: RunningServer, numbers: list[int]) -> list[str]:
    async with openai.AsyncOpenAI(
        base_url=running.url, api_key="none", max_retries=0, timeout=120
    ) as client:

        async def text(number: int) -> str:
            if number % 2:
                answer = await client.completions.create(**asked(number))
                return str(answer.choices[0].text)
            stream = await client.completions.create(**asked(number), stream=True)
            return "".join([choice.text async for chunk in stream for choice in chunk.choices])

        return await asyncio.gather(*(text(number) for number in numbers))


def test_two_hundred_clients_get_what_each_would_get_alone(tmp_path: Path) -> None:
    with serving(write_run(tmp_path)) as running:
        together = asyncio.run(ask_all(running, list(range(CLIENTS))))
        some = range(0, CLIENTS, 9)
        alone = [asyncio.run(ask_all(running, [number]))[0] for number in some]
        assert [together[number] for number in some] == alone
        assert all(len(text) == asked(number)["max_tokens"] for number, text in enumerate(together))
    assert running.notices == []


def test_a_full_queue_is_said_to_the_client_and_accepted_requests_are_answered(
    tmp_path: Path,
) -> None:
    with serving(write_run(tmp_path), max_rows=1, max_waiting=4) as running:

        async def work() -> list[Any]:
            async with openai.AsyncOpenAI(
                base_url=running.url, api_key="none", max_retries=0, timeout=120
            ) as client:
                return await asyncio.gather(
                    *(
                        client.completions.create(model="tiny-1", prompt="ab", max_tokens=60)
                        for _ in range(20)
                    ),
                    return_exceptions=True,
                )

        answers = asyncio.run(work())
    refused = [each for each in answers if isinstance(each, openai.InternalServerError)]
    accepted = [each for each in answers if not isinstance(each, BaseException)]
    assert len(refused) + len(accepted) == 20
    assert len(accepted) >= 4
    assert refused
    assert all(each.status_code == 503 for each in refused)
    assert "waiting" in str(refused[0])


@pytest.mark.parametrize("is_stream", [False, True])
def test_accepted_requests_are_answered_before_the_server_ends(
    tmp_path: Path, is_stream: bool
) -> None:
    with serving(write_run(tmp_path), max_rows=2) as running:
        texts: list[str] = []

        def ask() -> None:
            with openai.OpenAI(base_url=running.url, api_key="none", max_retries=0) as client:
                asked = {"model": "tiny-1", "prompt": "ab", "max_tokens": 200}
                if is_stream:
                    stream = client.completions.create(**asked, stream=True)  # type: ignore[call-overload]
                    texts.append("".join(chunk.choices[0].text for chunk in stream))
                else:
                    answer = client.completions.create(**asked)  # type: ignore[call-overload]
                    texts.append(answer.choices[0].text)

        clients = [threading.Thread(target=ask) for _ in range(5)]
        for client in clients:
            client.start()
        while running.server.engine.open_jobs < 5 and not texts:
            os.sched_yield()
        running.interrupt()
        for client in clients:
            client.join(60)
        ended = running.join()
    assert [len(text) for text in texts] == [200] * 5
    assert ended.is_drained


def test_a_second_signal_ends_the_server_at_once(tmp_path: Path) -> None:
    with serving(write_run(tmp_path)) as running:
        errors: list[Exception] = []

        def ask() -> None:
            with openai.OpenAI(base_url=running.url, api_key="none", max_retries=0) as client:
                try:
                    client.completions.create(model="tiny-1", prompt="ab", max_tokens=4096, n=128)
                except openai.OpenAIError as error:
                    errors.append(error)

        client = threading.Thread(target=ask)
        client.start()
        while not running.server.engine.open_jobs:
            os.sched_yield()
        running.interrupt()
        running.interrupt()
        ended = running.join()
        client.join(60)
    assert not ended.is_drained
    assert "stopped" in str(errors[0])
    assert running.notices == []
