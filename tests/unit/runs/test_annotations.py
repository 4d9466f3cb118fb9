"""Note and tags of a run, also with other things in the place of their file."""

import json
import os
from pathlib import Path

import pytest

from builders.runs import make_run
from transformer_playground.errors import RunError, UsageError
from transformer_playground.runs.annotations import (
    LONGEST_NOTE,
    MOST_TAGS,
    Annotations,
    annotations_problem,
    read_annotations,
    retag,
    write_annotations,
)

HOSTILE = "[/red] \x1b]0;owned\x07 \u202e\n\x00"

DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b'{"note": 5}',
    b'{"tags": "fast"}',
    b'{"tags": [1]}',
    b'{"tags": ["[/red]"]}',
    b'{"note": "kept", "tags": ["a b"]}',
    b"[" * 100_000,
    json.dumps({"note": "x" * (LONGEST_NOTE + 1)}).encode(),
    json.dumps({"tags": [f"t{n}" for n in range(MOST_TAGS + 1)]}).encode(),
    b'{"note": "' + b"x" * (1 << 20) + b'"}',
]


def test_written_annotations_are_read_back(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for annotations in (
        Annotations(HOSTILE, ("fast", "v1.2_x-y")),
        Annotations("n" * LONGEST_NOTE, tuple(f"t{n}" for n in range(MOST_TAGS))),
        Annotations("", ()),
    ):
        write_annotations(run, annotations)
        assert read_annotations(run) == annotations
        assert annotations_problem(run) is None


def test_a_run_without_notes_has_empty_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert read_annotations(run) == Annotations()
    assert annotations_problem(run) is None


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:30]))
def test_a_damaged_file_counts_as_empty_and_is_not_overwritten(
    tmp_path: Path, content: bytes
) -> None:
    run = make_run(tmp_path)
    run.notes_path.write_bytes(content)

    assert read_annotations(run) == Annotations()
    assert "damaged" in str(annotations_problem(run))
    with pytest.raises(RunError, match="damaged"):
        write_annotations(run, Annotations("new"))
    assert run.notes_path.read_bytes() == content


def test_a_file_that_is_not_regular_does_not_block(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    os.mkfifo(run.notes_path)
    assert read_annotations(run) == Annotations()
    assert "damaged" in str(annotations_problem(run))


@pytest.mark.parametrize(
    "annotations",
    [
        Annotations("n" * (LONGEST_NOTE + 1)),
        Annotations(tags=tuple(f"t{n}" for n in range(MOST_TAGS + 1))),
        Annotations(tags=("",)),
        Annotations(tags=("-x",)),
        Annotations(tags=("a b",)),
        Annotations(tags=("\x1b[31m",)),
        Annotations(tags=("x" * 41,)),
    ],
)
def test_annotations_beyond_the_limits_are_rejected_and_change_nothing(
    tmp_path: Path, annotations: Annotations
) -> None:
    run = make_run(tmp_path)
    write_annotations(run, Annotations("before"))
    with pytest.raises(UsageError):
        write_annotations(run, annotations)
    assert read_annotations(run) == Annotations("before")


def test_a_tag_given_twice_is_kept_once(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_annotations(run, Annotations(tags=("a", "b", "a")))
    assert read_annotations(run).tags == ("a", "b")


def test_tags_are_appended_and_removed() -> None:
    assert retag(("a", "b"), add=["c", "a"], remove=["b", "absent"]) == ("a", "c")
    with pytest.raises(UsageError, match="both"):
        retag((), add=["a"], remove=["a"])
    with pytest.raises(UsageError, match="not a valid tag"):
        retag((), add=[], remove=["a b"])
