"""Headings of `tp inspect`: what text was read, and in which units losses are."""

from typing import Any

import pytest

from transformer_playground.inspection.render import render


def document(view: str, result: dict[str, Any], window: int | None = 0) -> dict[str, Any]:
    source = "prompt" if window is None else "val"
    text = {"source": source, "window": window, "tokens": [0, 1], "token_texts": ["a", "b"]}
    checkpoint = {"checkpoint": "last.pt", "step": 3, "val_loss": None, "result": result}
    return {"run_id": "run", "view": view, "text": text, "checkpoints": [checkpoint]}


@pytest.mark.parametrize(
    ("window", "windows", "heading"),
    [
        (0, 64, "windows 0–63 of val · 2 tokens each"),
        (3, 8, "windows 3–10 of val · 2 tokens each"),
        (7, 1, "window 7 of val · 2 tokens"),
        (None, 1, "prompt · 2 tokens"),
    ],
)
def test_the_heading_names_all_windows_that_were_read(
    window: int | None, windows: int, heading: str
) -> None:
    result = {"layer": 0, "windows": windows, "neurons": []}
    assert render(document("neurons", result, window)).splitlines()[1] == heading


def test_the_loss_of_an_ablation_has_a_unit() -> None:
    token = {"token": 0, "text": "a", "probability": 0.5}
    part = {"part": "0.1", "loss": 2.5, "change": 0.5, "changes": [None, 0.5], "likeliest": [token]}
    result = {"replacement": "zero", "loss": 2.0, "likeliest": [token], "parts": [part]}
    assert "loss 2.0000 nats per token whole" in render(document("ablate", result))
