"""What the Sweep view shows of a reading: filter, heat map, and which run is opened."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders.runs import run_info
from builders.sweeps import GRID, NORM, RATE, additive, grid_states
from transformer_playground.tui.sweep import sweep_state
from transformer_playground.tui.sweep.service import (
    SweepReader,
    SweepReading,
    SweepRow,
    results_of,
)
from transformer_playground.tui.sweep.sweep_state import (
    Choice,
    heat_choices,
    picture_of,
    read_picture,
    run_of,
)

RESULTS = results_of(GRID, grid_states(additive))
READING = SweepReading((), "pe", RESULTS)


def test_a_filter_keeps_the_runs_that_match_and_their_combinations() -> None:
    found = picture_of(READING, Choice(filter_text="best_val_loss<2.1"), 0.0)

    assert len(found.lines) == 2
    assert len(found.combinations) == 1
    assert dict(found.combinations[0].values) == {NORM: "rmsnorm", RATE: 1e-2}
    assert found.problem == ""


def test_without_a_filter_combinations_that_wait_are_shown_too() -> None:
    states = grid_states(lambda *of: None if of[0] == "rmsnorm" else additive(*of))
    reading = SweepReading((), "pe", results_of(GRID, states))

    assert len(picture_of(reading, Choice(), 0.0).combinations) == 4
    assert len(picture_of(reading, Choice(filter_text="best_val_loss>0"), 0.0).combinations) == 2


def test_a_filter_that_is_not_valid_keeps_all_and_says_why() -> None:
    found = picture_of(READING, Choice(filter_text="nothing<1"), 0.0)

    assert len(found.combinations) == 4
    assert "nothing" in found.problem


def test_the_heat_map_has_the_chosen_settings_or_those_of_the_largest_effects() -> None:
    chosen = picture_of(READING, Choice(heat_keys=(NORM, RATE)), 0.0).heat
    assert chosen is not None
    assert chosen.keys == (NORM, RATE)

    assert heat_choices(RESULTS) == [(RATE, NORM), (NORM, RATE)]
    usual = picture_of(READING, Choice(heat_keys=("gone", RATE)), 0.0).heat
    assert usual is not None
    assert usual.keys == (RATE, NORM)


class Reader(SweepReader):
    """Reads what it was given, or fails."""

    def __init__(self, reading: SweepReading | Exception) -> None:
        super().__init__(Path(), Path(), Path())
        self.reading = reading

    def read(self, wanted: str | None) -> SweepReading:
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading


def test_results_that_cannot_be_drawn_are_a_problem_of_their_sweep_and_the_list_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no axis")

    monkeypatch.setattr(sweep_state, "parallel_coordinates", broken)
    rows = SweepRow("other"), SweepRow("pe", counts={"finished": 4})
    found = read_picture(Reader(SweepReading(rows, "pe", RESULTS)), Choice(), 0.0)

    assert found.results is None
    assert found.fault == ""
    assert found.reading.rows == (SweepRow("other"), SweepRow("pe", problem="ValueError: no axis"))


def test_a_reading_that_fails_is_a_sentence_instead_of_a_blank_view() -> None:
    found = read_picture(Reader(PermissionError(13, "Permission denied")), Choice("pe"), 0.0)

    assert found.fault == "No sweep can be read: [Errno 13] Permission denied"
    assert found.choice == Choice("pe")


def test_one_setting_has_no_heat_map() -> None:
    one = replace(GRID, axes=GRID.axes[:1])
    reading = SweepReading((), "pe", results_of(one, ()))

    assert picture_of(reading, Choice(), 0.0).heat is None


def test_the_run_in_training_is_opened_before_the_best_one() -> None:
    (best, *_) = RESULTS.combinations
    row = run_of(best)
    assert row is not None
    assert row.summary.best_val_loss == 2.01
    running = replace(best.states[1], state="running", row=run_info("now", "running"))

    found = run_of(replace(best, states=(best.states[0], running)))

    assert found is not None
    assert found.run_id == "now"
    waiting = tuple(replace(each, state="open", row=None) for each in best.states)
    assert run_of(replace(best, states=waiting)) is None


def test_a_reading_without_results_is_empty() -> None:
    found = picture_of(SweepReading(), Choice(filter_text="x"), 0.0)

    assert found.results is None
    assert found.lines == ()
