"""Proofs of GGUF files that take little time."""

import pytest

from transformer_playground.export.gguf import reader


def prove_quickly(monkeypatch: pytest.MonkeyPatch, *, positions: int = 24) -> None:
    """Compare GGUF files with their models at few positions."""
    monkeypatch.setattr(reader, "_MAX_POSITIONS", positions)
