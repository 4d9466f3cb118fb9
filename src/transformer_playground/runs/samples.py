"""`samples.jsonl`: texts drawn while a run trained."""

from typing import Any

from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.lines import parse_lines
from transformer_playground.runs.metrics import read_raw_rows


def read_samples(run: RunFolder) -> list[dict[str, Any]]:
    """Every whole row that still counts; an absent file has none.

    A resume from step N supersedes what was drawn after N before it: the run draws it again.
    """
    try:
        data = run.samples_path.read_bytes()
    except OSError:
        return []
    resumes = [row for row in read_raw_rows(run.metrics_path) if row.get("event") == "resume"]
    rows = parse_lines(data[: data.rfind(b"\n") + 1])
    return [row for row in rows if not any(_supersedes(resume, row) for resume in resumes)]


def _supersedes(resume: dict[str, Any], sample: dict[str, Any]) -> bool:
    try:
        return bool(sample["step"] > resume["step"] and sample["time"] <= resume["time"])
    except (KeyError, TypeError):
        return False
