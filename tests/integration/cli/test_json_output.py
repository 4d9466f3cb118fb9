"""What the first verbs print with `--json` has the documented form."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from builders.commands import Project, Tp
from builders.schemas import FOLDER, check, faults

DOCUMENT = FOLDER.parent / "json-output.md"


def test_prepare_reports_in_its_form(project: Project, tp: Tp) -> None:
    for more in ([], [], ["--force"]):
        (report,) = tp("prepare", "tiny", "--json", *more).lines
        check("prepare", report)


def test_experiments_are_listed_in_their_form_even_broken_ones(project: Project, tp: Tp) -> None:
    broken = project.experiment.parent / "broken"
    broken.mkdir()
    (broken / "config.toml").write_text("[model")
    (rows,) = tp("experiments", "--json").lines
    check("experiments", rows)
    assert {row["data"] for row in rows} == {"missing", "broken"}


def test_a_whole_job_streams_rows_of_its_form_and_then_samples(project: Project, tp: Tp) -> None:
    flags = ("--set", "train.runtime.sample_interval=10", "--set", "sample.sample.num_samples=2")
    ended = tp("loop", "tiny", "--run-id", "r", "--json", *flags)
    assert ended.code == 0, ended.err
    samples = [row for row in ended.lines if "index" in row]
    training = [row for row in ended.lines if "index" not in row]
    assert [row["index"] for row in samples] == [0, 1]
    for row in samples:
        check("sample", row)
    for row in training:
        check("train", row)
    kinds = {row["event"] for row in training}
    assert kinds == {"status", "train", "eval", "sample", "checkpoint", "summary"}


def test_a_continued_run_streams_rows_of_its_form(trained: Project, tp: Tp) -> None:
    ended = tp("train", "--resume", "first", "--json", "--set", "train.runtime.max_iters=30")
    assert ended.code == 0, ended.err
    for row in ended.lines:
        check("train", row)
    assert ended.lines[0]["event"] == "resume"


def test_a_failed_run_streams_rows_of_its_form(project: Project, tp: Tp) -> None:
    assert tp("prepare", "tiny").code == 0
    ended = tp(
        *("train", "tiny", "--json", "--set", "train.optim.learning_rate=1e30"),
        *("--set", "train.schedule.warmup_iters=0", "--set", "train.optim.grad_clip=0"),
    )
    assert ended.code == 1, ended.err
    for row in ended.lines:
        check("train", row)
    assert ended.lines[-1]["status"] == "failed"


@pytest.mark.parametrize("name", ["sample", "prepare"])
def test_a_form_is_closed_and_complete(trained: Project, tp: Tp, name: str) -> None:
    words = ("sample", "first") if name == "sample" else ("prepare", "tiny")
    (document,) = tp(*words, "--json").lines
    check(name, document)
    with pytest.raises(AssertionError, match="unknown"):
        check(name, {**document, "unknown": 1})
    for key in document:
        less = {other: value for other, value in document.items() if other != key}
        with pytest.raises(AssertionError, match=key):
            check(name, less)


def test_a_form_with_an_open_object_or_an_unexplained_property_is_found_out() -> None:
    whole: dict[str, Any] = json.loads((FOLDER / "sample.json").read_text())
    assert faults(whole) == []
    silent = copy.deepcopy(whole)
    del silent["properties"]["seed"]["description"]
    assert faults(silent) == ["(top): the property 'seed' has no description"]
    opened = copy.deepcopy(whole)
    opened["properties"]["tokens"]["items"] = {"type": "object"}
    assert len(faults(opened)) == 1
    opened["properties"]["tokens"]["items"]["additionalProperties"] = {"type": "string"}
    assert len(faults(opened)) == 1
    opened["properties"]["tokens"]["items"]["description"] = "text of each id"
    assert faults(opened) == []


def test_every_form_is_in_the_table_and_every_form_in_the_table_exists() -> None:
    named = set(re.findall(r"schemas/([a-z-]+)\.json", DOCUMENT.read_text()))
    assert named == {path.stem for path in Path(FOLDER).glob("*.json")}
