"""Axes that read well: units that fit the range, plain numbers, a light grid."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from transformer_playground.runs.series import Axis

_MINUTE, _HOUR = 60.0, 3600.0
# Up to so many of the smaller unit.
_MANY = 3
_PREFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_DECADE = 10.0


@dataclass(frozen=True)
class Scale:
    """What the horizontal axis shows.

    Attributes:
        label: The quantity with its unit.
        unit: What positions are divided by.
        phrase: Words around a position, such as "at step {}".
    """

    label: str
    unit: float
    phrase: str

    def at(self, position: float) -> str:
        """Where an undivided position lies, in words."""
        return self.phrase.format(self.number(position / self.unit))

    def number(self, value: float) -> str:
        """A divided position as text."""
        if self.label == "step":
            return f"{value:,.0f}"
        if self.label == "tokens seen":
            return _short(value)
        return f"{value:.3g}"


def scale_for(x: Axis, furthest: float) -> Scale:
    """The scale for positions up to `furthest`, in steps, tokens or seconds."""
    if x == "step":
        return Scale("step", 1.0, "at step {}")
    if x == "tokens":
        return Scale("tokens seen", 1.0, "at {} tokens")
    if furthest < _MANY * _MINUTE:
        return Scale("training time (s)", 1.0, "after {} s")
    if furthest < _MANY * _HOUR:
        return Scale("training time (min)", _MINUTE, "after {} min")
    return Scale("training time (h)", _HOUR, "after {} h")


def label_axes(axes: Axes, scale: Scale, *, log_y: bool, ink: str, muted: str, grid: str) -> None:
    """Put limits, ticks, grid and words to axes whose curves are drawn."""
    axes.margins(x=0.02, y=0.09)
    axes.set_xlabel(scale.label, fontsize=9.5, color=ink)
    scaled = ", log scale" if log_y else ""
    axes.set_ylabel(f"loss (nats per token{scaled})", fontsize=9.5, color=ink)
    locator = MaxNLocator(8, steps=[1, 2, 2.5, 5, 10], integer=scale.label == "step", min_n_ticks=1)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: scale.number(value)))
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


def _short(value: float) -> str:
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.0f}"
