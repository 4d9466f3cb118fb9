"""A finetuned run in LIT: its process gets over the local port what the adapted model says."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp.test_utils import TestClient, TestServer

from builders.finetuning import finetune
from transformer_playground.errors import CheckpointError
from transformer_playground.inspection.heads import attention_patterns
from transformer_playground.lit.backend import Backend
from transformer_playground.lit.load import load_session
from transformer_playground.lit.request import LitRequest, resolve_lit
from transformer_playground.lit.session import LitSession
from transformer_playground.runs.folder import RunFolder
from transformer_playground.serving.access import Access

FEW_STEPS = {"train": {"runtime": {"max_iters": 2, "eval_interval": 2}}}
REQUEST = LitRequest(windows=2, n_pairs=1)
TEXT = "The cat sat by the wheel."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finetune(tmp_path_factory.mktemp("lora"), "qwen2", FEW_STEPS).run


@pytest.fixture(scope="module")
def session(run: RunFolder) -> LitSession:
    setups = resolve_lit([run], REQUEST)
    return load_session(setups, REQUEST, Path("python"), progress=pytest.fail)


def asked(session: LitSession, requests: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Documents that the backend answers with, by path."""

    async def ask() -> dict[str, Any]:
        access = Access("127.0.0.1", "secret")
        backend = Backend(session.models, session.datasets, access, pytest.fail)
        headers = {"Authorization": "Bearer secret"}
        found: dict[str, Any] = {}
        async with TestClient(TestServer(backend.app), headers=headers) as client:
            for path, body in requests.items():
                async with client.post(path, json=body) as answer:
                    found[path] = await answer.json()
                    assert answer.status == 200, found[path]
        return found

    return asyncio.run(ask())


def test_tokens_likelihoods_alternatives_and_attention_are_those_of_the_adapted_model(
    session: LitSession,
) -> None:
    (model,) = session.models
    text = {"model": "run", "text": TEXT}
    found = asked(
        session,
        {
            "/session": {},
            "/predict": {"model": "run", "texts": [TEXT]},
            "/attention": text | {"layer": 1, "head": 2, "position": -1},
            "/salience": text,
        },
    )
    card = found["/session"]["models"][0]
    assert (card["name"], card["n_layer"], card["n_head"]) == ("run", 2, 4)
    assert len(found["/session"]["datasets"][0]["examples"]) == 2

    tokens = torch.tensor([[*model.opening, *model.tokenizer.encode(TEXT)]])
    with torch.inference_mode():
        predicted = model.model(tokens)[0].float().log_softmax(-1)
    surprisals = (-predicted[:-1].gather(1, tokens[0, 1:, None]).squeeze(1)).tolist()
    (prediction,) = found["/predict"]["predictions"]
    assert "".join(prediction["tokens"]).replace("␣", " ") == TEXT
    assert prediction["surprisals"] == pytest.approx([0.0, *surprisals], abs=1e-4)
    assert prediction["expected"][1][0][1] == pytest.approx(
        float(predicted[0].max().exp()), abs=1e-4
    )
    assert len(prediction["next"]) == 10

    row = attention_patterns(model.model, tokens)[1, 0, 2, -1].tolist()
    assert found["/attention"]["weights"] == pytest.approx(row, abs=1e-5)
    assert sum(found["/attention"]["weights"]) == pytest.approx(1, abs=1e-3)
    assert sum(found["/salience"]["norms"]) == pytest.approx(1, abs=1e-3)
    for answer in (found["/attention"], found["/salience"]):
        assert answer["tokens"] == prediction["tokens"]


def test_a_checkpoint_that_vanishes_before_it_is_loaded_is_named(run: RunFolder) -> None:
    setups = resolve_lit([run], REQUEST)
    kept = {path: path.read_bytes() for path in run.checkpoints.iterdir() if path.is_file()}
    for path in kept:
        path.unlink()
    try:
        with pytest.raises(CheckpointError, match="there is no such file"):
            load_session(setups, REQUEST, Path("python"), progress=lambda _: None)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
