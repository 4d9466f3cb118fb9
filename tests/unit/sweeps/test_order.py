"""Requests to train a run of a sweep before the others."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.order import (
    find_trial,
    request_next,
    requested,
    take_request,
)
from transformer_playground.sweeps.trials import Trial, TrialState

STATES = [
    TrialState(Trial(number, (), number, f"s-20260101-000000-{digest}"), "open")
    for number, digest in enumerate(("aaaa0000", "bbbb0001", "bbbb1111"))
]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """An empty folder of a sweep."""
    return SweepFolder(tmp_path)


def test_the_request_that_was_made_last_comes_first(folder: SweepFolder) -> None:
    for time, state in enumerate(STATES):
        request_next(folder, state)
        os.utime(folder.next_path / state.trial.run_id, (time, time))
    assert requested(folder) == [state.trial.run_id for state in reversed(STATES)]

    request_next(folder, STATES[0])

    assert requested(folder)[0] == STATES[0].trial.run_id
    assert len(requested(folder)) == 3


def test_a_request_counts_once(folder: SweepFolder) -> None:
    request_next(folder, STATES[1])

    take_request(folder, STATES[1].trial.run_id)
    take_request(folder, STATES[1].trial.run_id)

    assert requested(folder) == []


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (replace(STATES[0], state="finished"), "has finished"),
        (replace(STATES[0], state="running"), "is in training"),
        (replace(STATES[0], state="failed"), "tp runs delete"),
        (replace(STATES[0], state="pruned"), "tp train --resume"),
        (replace(STATES[0], waits=True), "results of other runs decide"),
    ],
)
def test_only_a_run_that_waits_can_be_next(
    folder: SweepFolder, state: TrialState, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        request_next(folder, state)
    assert not folder.next_path.exists()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("2", 2),
        ("s-20260101-000000-bbbb0001", 1),
        ("aaaa0000", 0),
        ("s-20260101-000000-a", 0),
        ("1111", 2),
    ],
)
def test_a_trial_is_named_by_its_number_or_a_part_of_its_id(name: str, number: int) -> None:
    assert find_trial(STATES, name).trial.number == number


@pytest.mark.parametrize(
    ("name", "why"), [("s-", "matches 3 runs"), ("x", "no run"), ("", "no run")]
)
def test_a_name_that_says_no_single_trial_is_refused(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        find_trial(STATES, name)
