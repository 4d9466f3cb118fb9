"""Rows of samples.jsonl."""

from pathlib import Path

import pytest

from builders.runs import make_run
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.runs.metrics import SampleHistory, is_sample_row, read_samples


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


def sample(step: int, text: str) -> dict[str, object]:
    return {"step": step, "text": text, "time": 1.0}


def resume(step: int) -> dict[str, object]:
    return {"event": "resume", "step": step, "time": 9.0}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Killed between the first sample and the next save: step 0 is sampled again.
        ([sample(0, "a"), resume(0), sample(0, "b")], "b"),
        ([sample(0, "a"), resume(0)], "a"),
        ([sample(0, "a"), sample(5, "b"), resume(0)], "a"),
        ([sample(0, "a"), sample(5, "b"), resume(5), sample(10, "c")], "abc"),
        ([sample(0, "a"), sample(5, "b"), resume(4), sample(5, "c"), sample(10, "d")], "acd"),
        ([sample(4, "a"), resume(4), sample(4, "b"), resume(4), sample(4, "c")], "c"),
        # Several samples of one step.
        ([sample(0, "a"), sample(0, "b"), resume(0), sample(0, "c"), sample(0, "d")], "cd"),
        # Files of older versions have no resume rows.
        ([sample(0, "a"), sample(5, "b"), sample(9, "c"), sample(5, "d")], "ad"),
        ([{"text": "x"}, {"step": 10**30, "text": "x"}, sample(0, "a"), {"step": 1}], "a"),
    ],
)
def test_order_in_the_file_decides_what_is_superseded(
    tmp_path: Path, rows: list[dict[str, object]], expected: str
) -> None:
    run = make_run(tmp_path)
    with JsonlWriter(run.samples_path) as samples:
        for row in rows:
            samples.append(row)
    assert "".join(row["text"] for row in read_samples(run)) == expected


def test_only_the_newest_samples_are_kept() -> None:
    history: SampleHistory[int] = SampleHistory(3)
    for step in range(5):
        history.add(step, step)
    kept = [history.samples]
    history.resume(3)
    kept.append(history.samples)
    history.add(3, 30)
    kept.append(history.samples)
    assert kept == [(2, 3, 4), (2, 3), (2, 30)]


def test_no_more_samples_are_kept_than_asked_for_across_resumes() -> None:
    history: SampleHistory[str] = SampleHistory(2)
    for step, text in ((0, "a"), (5, "b")):
        history.add(step, text)
    history.resume(5)
    history.add(10, "c")
    assert history.samples == ("b", "c")
    # The resume superseded nothing, so "b" is of an earlier session and "c" of this one.
    history.add(10, "d")
    assert history.samples == ("c", "d")
    history.resume(9)
    assert not history.samples


def test_a_history_that_was_cleared_starts_anew() -> None:
    history: SampleHistory[str] = SampleHistory()
    history.add(5, "a")
    history.resume(5)
    history.clear()
    assert not history.samples
    history.add(5, "b")
    history.add(5, "c")
    assert history.samples == ("b", "c")


def test_a_sample_needs_a_text_and_a_step() -> None:
    assert is_sample_row({"step": 1, "text": ""})
    assert is_sample_row({"step": 1, "event": "resume"})
    for row in ({"step": 1}, {"text": "a"}, {"step": "1", "text": "a"}, {"step": 1, "text": 5}):
        assert not is_sample_row(row)


def test_of_many_samples_of_one_step_the_newest_are_kept() -> None:
    history: SampleHistory[str] = SampleHistory(2)
    for text in "abcde":
        history.add(5, text)
    assert history.samples == ("d", "e")
