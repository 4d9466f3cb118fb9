"""Throughput of `tp serve` with many clients against the same requests one by one.

A server process with random weights of model S or M (see README.md) answers completions of
`--tokens` tokens with prompts of 1 to 32 characters, temperature 0.8. Clients are coroutines of
this process with a connection each. Rounds alternate between one client that asks one by one and
`--clients` clients at once; `--stream` asks for streams.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import torch

from transformer_playground.checkpoints.format import weights_payload
from transformer_playground.checkpoints.store import CheckpointStore
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.model.gpt import GPT
from transformer_playground.runs.folder import create_run

_ALPHABET = [chr(code) for code in range(33, 98)]
_MODELS = {
    "S": ModelConfig(n_layer=4, n_head=4, n_embd=128, block_size=64),
    "M": ModelConfig(n_layer=6, n_head=6, n_embd=384, block_size=256),
}
_GOAL = 4.0


def _write_run(runs_dir: Path, name: str) -> None:
    """A run with random weights."""
    model = GPT(_MODELS[name], len(_ALPHABET))
    config = ExperimentConfig(model=_MODELS[name]).model_dump(mode="json")
    run = create_run(runs_dir, name, {"experiment": name, "config": config, "parameters": 1})
    CharTokenizer(_ALPHABET).save(run.tokenizer)
    payload = weights_payload(model.state_dict(), model.args()) | {"config": config}
    store = CheckpointStore(run.checkpoints, keep_last=1, keep_best=1)
    store.save(payload, step=0, last=True, best_metric=None)


async def _ask(session: aiohttp.ClientSession, url: str, number: int, options: Any) -> None:
    body = {
        "prompt": "".join(_ALPHABET[: 1 + number % 32]),
        "max_tokens": options.tokens,
        "temperature": 0.8,
        "seed": number,
        "stream": options.stream,
    }
    async with session.post(f"{url}/completions", json=body) as answer:
        answer.raise_for_status()
        content = await answer.read()
    text = content.decode()
    is_whole = "[DONE]" in text if options.stream else '"finish_reason":"length"' in text
    if not is_whole:
        raise AssertionError("an answer is too short")


async def _tokens_per_second(url: str, requests: int, clients: int, options: Any) -> float:
    waiting = iter(range(requests))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def client() -> None:
            for number in waiting:
                await _ask(session, url, number, options)

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        seconds = time.perf_counter() - began
    tokens: int = requests * options.tokens
    return tokens / seconds


def _measure(name: str, options: argparse.Namespace) -> dict[str, float | str]:
    with tempfile.TemporaryDirectory() as folder:
        _write_run(Path(folder), name)
        command = [str(Path(sys.executable).parent / "tp"), "serve", name, "--port", "0"]
        with subprocess.Popen(
            [*command, "--runs-dir", folder], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            url = server.stdout.readline().split(" on ")[1].split(" ")[0]
            try:
                asyncio.run(_tokens_per_second(url, 4, 2, options))
                single, together = [], []
                for _ in range(options.rounds):
                    single.append(asyncio.run(_tokens_per_second(url, options.singles, 1, options)))
                    together.append(
                        asyncio.run(
                            _tokens_per_second(url, options.requests, options.clients, options)
                        )
                    )
            finally:
                server.send_signal(signal.SIGINT)
    return {
        "model": name,
        "one_by_one": statistics.median(single),
        "together": statistics.median(together),
        "ratio": statistics.median(
            fast / slow for fast, slow in zip(together, single, strict=True)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--singles", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stream", action="store_true")
    options = parser.parse_args()
    print(f"{options.requests} requests of {options.tokens} tokens, {options.clients} clients")
    print("model   one by one   together (tokens/s)   ratio")
    figures = []
    for name in _MODELS:
        figure = _measure(name, options)
        figures.append(figure)
        print(
            f"{name:5} {figure['one_by_one']:12.0f} {figure['together']:21.0f} "
            f"{figure['ratio']:7.2f}   goal {_GOAL:g}",
            flush=True,
        )
    print(
        json.dumps(
            {
                "benchmark": "serving",
                "torch": torch.__version__,
                "threads": os.cpu_count(),
                "clients": options.clients,
                "requests": options.requests,
                "tokens": options.tokens,
                "stream": options.stream,
                "models": figures,
                "goal": _GOAL,
            }
        )
    )


if __name__ == "__main__":
    main()
