"""What the Sweep view says: effects with their uncertainty, heat map, table, list and progress."""

from collections.abc import Iterable

import pytest
from rich.cells import cell_len

from builders.hostile import harm_in, hostile_texts
from builders.sweeps import GRID, NORM, RATE, additive, grid_states, trial_state
from transformer_playground.sweeps.axes import Choices
from transformer_playground.sweeps.figures import heat_map
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.tui.sweep.service import SweepRow, results_of
from transformer_playground.tui.sweep.sweep_text import (
    Line,
    combination_lines,
    detail_line,
    effect_lines,
    heat_lines,
    list_line,
    progress_text,
    title_text,
)

KNOWN = results_of(GRID, grid_states(additive))


def text(lines: Iterable[Line]) -> list[str]:
    """Lines without their tones."""
    return ["".join(part for part, _ in line).rstrip() for line in lines]


def test_an_effect_has_the_mean_of_each_value_its_size_and_a_bar_as_long() -> None:
    rate, rate_bar, norm, norm_bar = text(effect_lines(KNOWN.effects, 2, 80))

    assert rate.startswith("learning_rate 1e-2 2.065  1e-3 3.065")
    assert "1.0000 ± " in rate
    assert norm.startswith("norm          rmsnorm 2.515  layernorm 2.615")
    assert rate_bar.count("█") == 80
    assert norm_bar.count("█") == 8


@pytest.mark.parametrize("width", [57, 76, 140])
def test_the_name_of_a_setting_and_all_of_its_values_are_shown_on_several_lines_if_needed(
    width: int,
) -> None:
    key = "model.positional_encoding"
    values = ("rope", "none", "alibi", "learned", "sinusoidal")
    states = [trial_state({key: value}, 1, 2.0 + n) for n, value in enumerate(values)]
    found = results_of(Sweep("s", "tiny", (Choices(key, values),), (1,)), tuple(states))

    lines = text(effect_lines(found.effects, 1, width))

    assert all(f"{value} {2 + n}.000" in " ".join(lines) for n, value in enumerate(values))
    assert "positional_encoding" in lines[0]
    assert max(map(cell_len, lines)) <= width


def test_an_effect_within_the_spread_of_seeds_is_called_none() -> None:
    shifts = {("rmsnorm", 1e-3): 0.1, ("layernorm", 1e-2): 0.11}
    found = results_of(
        GRID, grid_states(lambda norm, rate, seed: 2.0 + shifts.get((norm, rate), 0.0) * seed)
    )

    lines = text(effect_lines(found.effects, 2, 80))

    assert "within the spread of 2 seeds: no effect" in lines[1]
    # Where the effect may end is drawn, too.
    assert "▒" in lines[1]


def test_an_effect_of_single_runs_has_no_known_spread() -> None:
    one = [trial_state({NORM: "rmsnorm"}, 1, 2.0), trial_state({NORM: "layernorm"}, 1, 2.5)]
    found = results_of(Sweep("s", "tiny", (GRID.axes[0],), (1,)), tuple(one))

    assert "its spread is unknown" in text(effect_lines(found.effects, 1, 80))[1]
    assert "finished" in text(effect_lines((), 1, 80))[0]


def test_a_heat_map_marks_the_best_cell_and_says_what_waits() -> None:
    states = grid_states(lambda *of: None if of[:2] == ("layernorm", 1e-2) else additive(*of))

    lines = text(heat_lines(heat_map(GRID.axes, states, (NORM, RATE)), 60))

    assert lines == [
        "          1e-3       1e-2",
        "rmsnorm   ░ 3.0150   █ 2.0150 ★",
        "layernorm ░ 3.1150   ◌",
        "█ best  ▓  ▒  ░ worst · mean of up to 2 runs",
    ]


@pytest.mark.parametrize("width", [20, 30, 60, 200])
def test_a_heat_map_keeps_to_its_width(width: int) -> None:
    found = heat_map(GRID.axes, KNOWN.states, (NORM, RATE))

    lines = text(heat_lines(found, width))

    assert max(map(cell_len, lines)) <= width
    assert "█ 2.0150 ★" in lines[1] or width < 40


def test_one_setting_has_no_heat_map() -> None:
    assert "two settings" in text(heat_lines(None, 60))[0]


def test_the_table_has_mean_and_error_and_how_many_runs_support_it() -> None:
    states = grid_states(lambda *of: None if of[1:] == (1e-3, 2) else additive(*of))
    found = results_of(GRID, states)
    (waiting,) = (each for each in states if each.trial.run_id == "s-layernorm-0.001-2")

    lines = combination_lines(found.combinations, (waiting.trial.run_id,), 100)

    assert lines[1].split() == ["★", "rmsnorm", "1e-2", "2.0150", "±", "0.0050", "best", "2/2"]
    assert lines[3].split() == ["rmsnorm", "1e-3", "3.0100", "+0.9950", "1/2", "◌", "1"]
    assert lines[4].endswith("1/2  ◌ 1 next")


def test_the_runs_of_a_combination_are_said_in_one_line() -> None:
    states = grid_states(lambda *of: None if of[2] == 2 else additive(*of))
    found = results_of(GRID, states)

    assert detail_line(found.combinations[0], str) == "2.0100: ✓ seed 1 2.0100  ◌ seed 2"
    assert detail_line(None, str) == ""


def test_progress_has_the_runs_in_each_state_and_the_time() -> None:
    states = grid_states(lambda *of: None if of[2] == 2 else additive(*of))

    found = results_of(GRID, states, (), is_stopped=True, left=125.0)

    assert progress_text(found) == "✓ 4  ▶ 0  ◌ 4  ✗ 0 · left about 2m 05s · stopped"
    assert "time left unknown" in progress_text(results_of(GRID, states))
    assert progress_text(KNOWN) == "✓ 8  ▶ 0  ◌ 0  ✗ 0"
    assert title_text(KNOWN) == "pe · 8 runs = 2 norm × 2 learning_rate × 2 seeds"


@pytest.mark.parametrize("width", [22, 40, 120])
def test_a_line_of_the_list_has_progress_at_its_end(width: int) -> None:
    row = SweepRow("a-long-name-of-a-sweep", "tiny", "grid", KNOWN.counts, 2.0)

    (line,) = text([list_line(row, width)])

    assert cell_len(line) <= width
    assert line.endswith("8/8  best 2.0000")


def test_a_sweep_that_cannot_be_read_says_why() -> None:
    (line,) = text([list_line(SweepRow("s", problem="method is\nwrong"), 60)])

    assert line == "s method is␊wrong"


def test_no_line_has_what_a_terminal_obeys() -> None:
    for number, hostile in enumerate(hostile_texts(60, seed=8)):
        values = ("a" + hostile, "b" + hostile)
        axes = (Choices("sample.sample.start", values), Choices(RATE, (1e-3, 1e-2)))
        states = tuple(
            trial_state({axes[0].key: value, RATE: rate}, 1, 2.0 + rate + number)
            for value in values
            for rate in axes[1].values
        )
        found = results_of(Sweep("s", hostile, axes, (1,)), states)
        row = SweepRow("s", hostile, "grid", found.counts, 1.0, hostile)
        lines = [
            *text(effect_lines(found.effects, 1, 60)),
            *text(heat_lines(heat_map(axes, states, (axes[0].key, RATE)), 60)),
            *text([list_line(row, 60), list_line(SweepRow("s", problem=hostile), 60)]),
            *combination_lines(found.combinations, (), 60),
            title_text(found),
            detail_line(found.combinations[0], str),
        ]
        for line in lines:
            assert harm_in(line, one_line=True) is None, (hostile, line)
