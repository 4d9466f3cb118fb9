"""Axes that read well: units that fit the range, plain numbers, a light grid."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from transformer_playground.formatting import count_text, duration_text
from transformer_playground.runs.series import Axis

_MINUTE, _HOUR = 60.0, 3600.0
# Up to so many of the smaller unit.
_MANY = 3
_DECADE = 10.0


@dataclass(frozen=True)
class Scale:
    """What the horizontal axis shows.

    Attributes:
        label: The quantity with its unit.
        unit: What positions are divided by.
        phrase: Words around a position, such as "at step {}".
        show: The text of an undivided position.
        tick: The text of a divided one, whose unit the label says.
    """

    label: str
    unit: float
    phrase: str
    show: Callable[[float], str]
    tick: Callable[[float], str]

    def at(self, position: float) -> str:
        """Where an undivided position lies, in words."""
        return self.phrase.format(self.show(position))


def scale_for(x: Axis, furthest: float) -> Scale:
    """The scale for positions up to `furthest`, in steps, tokens or seconds."""
    if x == "step":
        return Scale("step", 1.0, "at step {}", "{:,.0f}".format, "{:,.0f}".format)
    if x == "tokens":
        return Scale("tokens seen", 1.0, "at {} tokens", count_text, count_text)
    unit, size = ("h", _HOUR)
    if furthest < _MANY * _MINUTE:
        unit, size = ("s", 1.0)
    elif furthest < _MANY * _HOUR:
        unit, size = ("min", _MINUTE)
    return Scale(f"training time ({unit})", size, "after {}", duration_text, "{:.3g}".format)


def label_axes(axes: Axes, scale: Scale, *, log_y: bool, ink: str, muted: str, grid: str) -> None:
    """Put limits, ticks, grid and words to axes whose curves are drawn."""
    axes.margins(x=0.02, y=0.09)
    axes.set_xlabel(scale.label, fontsize=9.5, color=ink)
    scaled = ", log scale" if log_y else ""
    axes.set_ylabel(f"loss (nats per token{scaled})", fontsize=9.5, color=ink)
    locator = MaxNLocator(8, steps=[1, 2, 2.5, 5, 10], integer=scale.label == "step", min_n_ticks=1)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: scale.tick(value)))
    if log_y:
        low, high = axes.get_ylim()
        # Within a decade the powers of ten alone would leave an axis bare.
        is_wide = high > _DECADE * low
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if is_wide else MaxNLocator(6))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(visible=True, color=grid, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(grid)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=muted)
