"""Figures of a sweep as data: a heat map of two settings, and parallel coordinates.

Losses are best validation losses in nats per token; smaller is better.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Literal

from transformer_playground.comparison.estimates import Estimate, estimate
from transformer_playground.formatting import count_text, loss_text
from transformer_playground.runs.naming import setting_headers
from transformer_playground.sweeps.axes import Axis
from transformer_playground.sweeps.levels import Scale
from transformer_playground.sweeps.results import loss_of
from transformer_playground.sweeps.trials import State, TrialState

SHADES = 4
"""Number of shades of a heat map in text."""

# What a cell without a loss says, if its trials are in several states.
_TOLD: tuple[State, ...] = ("running", "open", "failed", "pruned")


@dataclass(frozen=True)
class HeatCell:
    """All trials with one value of each of two settings.

    Attributes:
        loss: Mean over the finished ones.
        share: Its place in the range of all means up to `loss_limit`, from 0, the best, to 1; None
            without a loss.
        state: What has become of the trials while none has finished; None if there are none.
    """

    loss: Estimate
    share: float | None
    is_best: bool
    state: State | None

    @property
    def shade(self) -> int | None:
        """One of `SHADES`, for text: 0 is the best quarter of the range."""
        return None if self.share is None else min(SHADES - 1, int(self.share * SHADES))


@dataclass(frozen=True)
class HeatMap:
    """Mean loss for each pair of values of two settings.

    Attributes:
        keys: The settings of the rows and of the columns.
        cells: Row by row.
    """

    keys: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[HeatCell, ...], ...]

    @property
    def most_runs(self) -> int:
        """The largest number of runs in a cell."""
        return max((cell.loss.n for row in self.cells for cell in row), default=0)


def loss_limit(losses: Sequence[float]) -> float:
    """The worst loss that is not far out, so that a diverged run does not hide the differences.

    Far out is what lies beyond the upper fence of Tukey's box plot ("Exploratory Data Analysis",
    1977): the upper quartile and 1.5 times the distance between the quartiles.
    """
    if len(losses) < 4:
        return max(losses, default=0.0)
    lower, _, upper = quantiles(losses, n=4, method="inclusive")
    fence = upper + 1.5 * (upper - lower)
    inside = max(loss for loss in losses if loss <= fence)
    return inside if inside > min(losses) else max(losses)


def heat_map(axes: Iterable[Axis], states: Iterable[TrialState], keys: tuple[str, str]) -> HeatMap:
    """The mean loss for each pair of values.

    Args:
        axes: Those of the sweep.
        states: Its trials.
        keys: Settings of the rows and of the columns.
    """
    by_key = {axis.key: Scale(axis) for axis in axes}
    down, across = (by_key[key] for key in keys)
    found: dict[tuple[int | None, int | None], list[TrialState]] = {}
    for each in states:
        values = dict(each.trial.values)
        place = down.level(values[keys[0]]), across.level(values[keys[1]])
        found.setdefault(place, []).append(each)
    means = {place: estimate(map(loss_of, members)) for place, members in found.items()}
    known = [each.mean for each in means.values() if each.mean is not None]
    low, high = min(known, default=0.0), loss_limit(known)

    def cell(row: int, column: int) -> HeatCell:
        members = found.get((row, column), [])
        loss = means.get((row, column), Estimate(None, None, 0))
        if loss.mean is None:
            own = {each.state for each in members}
            return HeatCell(loss, None, False, next((each for each in _TOLD if each in own), None))
        share = min(1.0, (loss.mean - low) / (high - low)) if high > low else 0.0
        return HeatCell(loss, share, loss.mean == low, "finished")

    cells = tuple(
        tuple(cell(row, column) for column in range(len(across.levels)))
        for row in range(len(down.levels))
    )
    return HeatMap(keys, down.levels, across.levels, cells)


@dataclass(frozen=True)
class ParallelAxis:
    """A vertical axis of parallel coordinates.

    Attributes:
        ticks: Places from 0, the bottom, to 1, with their texts.
    """

    title: str
    kind: Literal["setting", "rate", "loss"]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class ParallelLine:
    """A trial as a line through all axes.

    Attributes:
        places: Its place on each axis, from 0 to 1; None where it has no value.
        share: Its loss between the best, 0, and the worst up to `loss_limit`, 1.
    """

    state: TrialState
    places: tuple[float | None, ...]
    share: float


def parallel_coordinates(
    axes: Iterable[Axis], states: Iterable[TrialState]
) -> tuple[tuple[ParallelAxis, ...], tuple[ParallelLine, ...]]:
    """Axes for the settings, the speed and the loss, and a line for each trial with a loss.

    After Inselberg, "The plane with parallel coordinates" (1985). The best loss is at the bottom.

    Returns:
        The axes and the lines, the worst first, so that better ones are drawn over them.
    """
    axes = tuple(axes)
    scales = [Scale(axis) for axis in axes]
    measured = [(loss, each) for each in states if (loss := loss_of(each)) is not None]
    measured.sort(key=lambda pair: -pair[0])
    headers = setting_headers([axis.key for axis in axes])
    drawn = [ParallelAxis(headers[scale.axis.key], "setting", scale.ticks) for scale in scales]
    limit = loss_limit([loss for loss, _ in measured])
    losses = [min(loss, limit) for loss, _ in measured]
    more = "≥ " if any(loss > limit for loss, _ in measured) else ""
    rates = [_rate(each) for _, each in measured]
    drawn.append(ParallelAxis("tokens/s", "rate", _ends(rates, count_text)))
    drawn.append(ParallelAxis("val loss", "loss", _ends(losses, loss_text, more)))
    rate_places, loss_places = _places(rates), _places(losses)
    lines = []
    for (_, each), rate, loss in zip(measured, rate_places, loss_places, strict=True):
        own = dict(each.trial.values)
        places = [scale.place(own[scale.axis.key]) for scale in scales]
        lines.append(ParallelLine(each, (*places, rate, loss), loss or 0.0))
    return tuple(drawn), tuple(lines)


def _rate(state: TrialState) -> float | None:
    return state.row.summary.tokens_per_sec_median if state.row else None


def _ends(
    values: Sequence[float | None], text: Callable[[float], str], more: str = ""
) -> tuple[tuple[float, str], ...]:
    known = [value for value in values if value is not None]
    if not known:
        return ()
    low, high = min(known), max(known)
    return ((0.0, text(low)), (1.0, more + text(high))) if high > low else ((0.0, text(low)),)


def _places(values: Sequence[float | None]) -> list[float | None]:
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    width = high - low
    return [None if value is None else (value - low) / width if width else 0.0 for value in values]
