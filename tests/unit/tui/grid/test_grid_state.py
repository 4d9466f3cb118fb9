"""The grid's pages, shapes and selection."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.tui.grid.grid_state import MOST_RUNS, GridState, count_text, in_order

KEYS = tuple(f"run-{number}" for number in range(20))


def test_twenty_charts_fit_on_a_screen_of_140_by_45() -> None:
    assert GridState().shape(20, 136, 41) == (5, 4)
    assert GridState().shape(20, 76, 20) == (2, 2)
    assert GridState().resized(1).shape(20, 76, 20) == (3, 3)
    # Fewer charts are larger.
    assert GridState().shape(6, 136, 41) == (3, 2)
    assert GridState().shape(2, 136, 41) == (2, 1)


@given(
    st.integers(0, 100), st.integers(1, 300), st.integers(1, 100), st.integers(-9, 9), st.booleans()
)
def test_a_page_of_any_size_has_a_place_for_each_chart_or_is_full(
    count: int, width: int, height: int, by: int, is_large: bool
) -> None:
    state = replace(GridState().resized(by), is_large=is_large)
    rows, columns = state.shape(count, width, height)
    assert rows >= 1
    assert columns >= 1
    # No row stays empty.
    assert (rows - 1) * columns < max(1, count)


def test_the_page_follows_the_selected_chart() -> None:
    state = GridState()
    assert (state.page(KEYS, 8), state.on_page(KEYS, 8)) == ((0, 3), KEYS[:8])
    state = state.moved(KEYS, 9)
    assert state.selected == "run-9"
    assert (state.page(KEYS, 8), state.on_page(KEYS, 8)) == ((1, 3), KEYS[8:16])
    assert state.moved(KEYS, 100).on_page(KEYS, 8) == KEYS[16:]
    assert state.moved(KEYS, -100).selected == "run-0"
    # The run is gone.
    assert state.page(KEYS[:5], 8) == (0, 1)
    assert state.moved((), 1) == state
    assert GridState().on_page((), 8) == ()


def test_a_large_chart_is_alone_and_stays_so_at_another_size() -> None:
    large = GridState(is_large=True)
    assert large.shape(20, 136, 41) == (1, 1)
    assert large.resized(1).shape(20, 136, 41) == (1, 1)
    assert replace(large.resized(1), is_large=False) == GridState().resized(1)
    assert GridState().resized(-99).shape(20, 136, 41) == (2, 2)


def test_runs_that_are_too_many_for_charts_are_counted() -> None:
    assert count_text(6, 6) == "6 runs"
    assert count_text(4, 6) == "4 of 6"
    assert count_text(64, 64) == "64 runs"
    assert count_text(20, 80) == "20 of the first 64 of 80 runs"
    assert count_text(64, 1080) == "64 of 1,080 runs"


def test_runs_are_ordered_by_loss_as_they_were_selected_or_by_name() -> None:
    runs = ["c", "a", "d", "b"]
    losses = {"a": 3.0, "b": 1.0, "c": 2.0, "d": None}
    names = {"a": "rope", "b": "Alibi", "c": "none", "d": "relu"}
    states = [GridState()]
    for _ in range(3):
        states.append(states[-1].reordered())
    found = [in_order(runs, state.order, losses.get, names.__getitem__) for state in states]
    # Runs without a loss are the last.
    assert found[0] == ("b", "c", "a", "d") == found[3]
    assert found[1] == tuple(runs)
    assert found[2] == ("b", "c", "d", "a")
    assert [state.order_text(is_selection=True) for state in states[:3]] == [
        "best first",
        "as selected",
        "by name",
    ]
    assert states[1].order_text(is_selection=False) == "newest first"


def test_numbers_in_names_are_ordered_by_value() -> None:
    runs = ["1e-2", "lr n_layer=12", "3e-3", "lr n_layer=4", "1e-3"]
    found = in_order(runs, "name", lambda _: None, str)
    assert found == ("1e-3", "3e-3", "1e-2", "lr n_layer=4", "lr n_layer=12")


def test_of_too_many_runs_the_first_of_the_order_have_charts() -> None:
    runs = [f"run-{number:03}" for number in range(200)]
    best = in_order(runs, "loss", lambda run_id: -float(run_id[4:]), str)
    assert (len(best), best[0], best[-1]) == (MOST_RUNS, "run-199", f"run-{200 - MOST_RUNS}")
    assert in_order(runs, "selection", lambda _: None, str) == tuple(runs[:MOST_RUNS])


def test_the_other_mode_starts_at_its_first_chart() -> None:
    state = GridState(selected="run-3", is_large=True).toggled()
    assert (state.mode, state.selected, state.is_large) == ("quantities", None, False)
    assert state.toggled().mode == "runs"
