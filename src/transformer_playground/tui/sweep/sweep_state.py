"""State of the Sweep view: what the user has chosen, and what is shown of a reading for it."""

from dataclasses import dataclass

from transformer_playground.errors import UsageError
from transformer_playground.runs.fields import RunInfo, setting_keys
from transformer_playground.runs.query import Query, parse_query, select
from transformer_playground.sweeps.figures import (
    HeatMap,
    ParallelAxis,
    ParallelLine,
    heat_map,
    parallel_coordinates,
)
from transformer_playground.sweeps.results import Combination
from transformer_playground.tui.sweep.service import (
    SweepReader,
    SweepReading,
    SweepResults,
    problem_of,
)


@dataclass(frozen=True)
class Choice:
    """What the user has chosen.

    Attributes:
        sweep: The sweep to show; None = the newest.
        filter_text: Filter of runs; only combinations with a run that matches are kept.
        heat_keys: Settings of the rows and columns of the heat map; None = those of the largest
            effects.
    """

    sweep: str | None = None
    filter_text: str = ""
    heat_keys: tuple[str, str] | None = None


@dataclass(frozen=True)
class Picture:
    """What is shown.

    Attributes:
        combinations: Those with a run that matches the filter, the best first.
        heat: None if fewer than two settings vary.
        lines: Those of the runs that match the filter.
        problem: Why the filter is not valid; it keeps all then.
        fault: Why no sweep can be shown; empty if they can.
    """

    reading: SweepReading
    choice: Choice
    combinations: tuple[Combination, ...] = ()
    heat: HeatMap | None = None
    axes: tuple[ParallelAxis, ...] = ()
    lines: tuple[ParallelLine, ...] = ()
    problem: str = ""
    fault: str = ""

    @property
    def results(self) -> SweepResults | None:
        """Those of the shown sweep; None if there is none, or it cannot be read."""
        return self.reading.results


def picture_of(reading: SweepReading, choice: Choice, now: float) -> Picture:
    """What is shown of a reading.

    Args:
        reading: The sweeps.
        choice: What the user has chosen.
        now: Unix time.
    """
    results = reading.results
    if results is None:
        return Picture(reading, choice)
    query, problem = Query(), ""
    rows = [each.row for each in results.states if each.row]
    try:
        query = parse_query(choice.filter_text, setting_keys(rows))
    except UsageError as error:
        problem = str(error)

    def matches(row: RunInfo | None) -> bool:
        return not query.alternatives or (row is not None and bool(select([row], query, now)))

    kept = [each for each in results.states if matches(each.row)]
    numbers = {each.trial.number for each in kept}
    axes, lines = parallel_coordinates(results.sweep.axes, kept)
    return Picture(
        reading,
        choice,
        tuple(
            each
            for each in results.combinations
            if any(state.trial.number in numbers for state in each.states)
        ),
        _heat_map(results, choice.heat_keys),
        axes,
        lines,
        problem,
    )


def read_picture(reader: SweepReader, choice: Choice, now: float) -> Picture:
    """Read the sweeps, and what is shown of them; a fault is part of the picture."""
    try:
        reading = reader.read(choice.sweep)
    except Exception as error:  # noqa: BLE001 - the view says what is wrong
        return Picture(SweepReading(), choice, fault=f"No sweep can be read: {problem_of(error)}")
    try:
        return picture_of(reading, choice, now)
    except Exception as error:  # noqa: BLE001 - the view says what is wrong
        # The list stays, so that another sweep can be chosen.
        return Picture(reading.without_results(problem_of(error)), choice)


def heat_choices(results: SweepResults) -> list[tuple[str, str]]:
    """Settings of rows and columns that a heat map can have, those of large effects first."""
    ordered = [effect.key for effect in results.effects]
    keys = [*ordered, *(key for key in results.sweep.keys if key not in ordered)]
    return [(down, across) for down in keys for across in keys if down != across]


def _heat_map(results: SweepResults, keys: tuple[str, str] | None) -> HeatMap | None:
    choices, axes = heat_choices(results), results.sweep.axes
    if keys in choices:
        return heat_map(axes, results.states, keys)
    if not choices:
        return None
    found = heat_map(axes, results.states, choices[0])
    # The setting with more values is across.
    if len(found.rows) <= len(found.columns):
        return found
    down, across = choices[0]
    return heat_map(axes, results.states, (across, down))


def run_of(each: Combination) -> RunInfo | None:
    """The run of a combination to look at: the one in training, else the best, else any."""
    running = next((state.row for state in each.states if state.state == "running"), None)
    best = each.best_run.row if each.best_run else None
    return running or best or next((state.row for state in each.states if state.row), None)
