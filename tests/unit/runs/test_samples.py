"""Rows of samples.jsonl."""

from pathlib import Path

from builders.runs import make_run
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.runs.metrics import read_samples


def test_samples_are_read_with_every_character(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    row = {"step": 5, "prompt": "\n", "text": "ä\x1b[31m\u2028\udc80 \x00", "seed": 1}
    with JsonlWriter(run.samples_path) as samples:
        samples.append(row)
        samples.append(row | {"step": 6})
    with run.samples_path.open("ab") as file:
        file.write(b'{"step": 7')

    assert read_samples(run) == [row, row | {"step": 6}]


def test_a_run_without_samples_has_an_empty_list(tmp_path: Path) -> None:
    assert read_samples(make_run(tmp_path)) == []
