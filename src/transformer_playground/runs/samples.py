"""`samples.jsonl`: texts drawn while a run trained."""

from typing import Any

from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.metrics import parse_lines


def read_samples(run: RunFolder) -> list[dict[str, Any]]:
    """Every whole row of `samples.jsonl`; an absent file has none."""
    try:
        data = run.samples_path.read_bytes()
    except OSError:
        return []
    return parse_lines(data[: data.rfind(b"\n") + 1])
