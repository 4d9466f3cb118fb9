"""A learning-rate range test as sentences, as a chart of text and as a figure."""

from transformer_playground.formatting import learning_rate_text
from transformer_playground.plots.curves_plot import CurvesPlot, Mark, PlottedCurve
from transformer_playground.plots.text_chart import chart_lines
from transformer_playground.training.lr_range import RangeTest

# Losses above the start by more than this part of what was gained say no more than "diverged".
_ROOM = 0.5


def chart(test: RangeTest, *, width: int, height: int) -> list[str]:
    """The smoothed loss over the rate, with s at the steepest descent and m at the minimum."""
    highest = _highest(test)
    shown = [
        (rate, loss)
        for rate, loss in zip(test.rates, test.smoothed, strict=True)
        if loss <= highest
    ]
    if len(shown) < 2:
        return []
    rates, losses = zip(*shown, strict=True)
    found = ((test.steepest, "s"), (test.minimum, "m"))
    marks = [(rate, letter) for rate, letter in found if rate is not None]
    return chart_lines(
        rates, losses, width=width, height=height, show_x=learning_rate_text, marks=marks
    )


def explanation(test: RangeTest) -> list[str]:
    """The rates that stand out, each with what it means."""
    found = []
    if test.steepest is not None:
        found.append(
            f"steepest descent (s)  {learning_rate_text(test.steepest)}  "
            "the loss falls fastest here; a rate that surely learns"
        )
    if test.minimum is not None:
        found.append(
            f"lowest loss (m)       {learning_rate_text(test.minimum)}  "
            "beyond it steps do harm; too high for a whole run"
        )
    if test.suggestion is not None:
        found.append(
            f"suggested             {learning_rate_text(test.suggestion)}  "
            "a tenth of that of the lowest loss, as a peak for a schedule with warmup"
        )
        if test.muon_ratio is not None:
            _, muon = test.overrides
            found.append(f"                      {muon}, in the same proportion as now")
    found.append(f"now                   {learning_rate_text(test.current)}")
    return found


def figure(test: RangeTest, name: str) -> CurvesPlot:
    """The losses of all steps, the smoothed loss, and the rates that stand out."""
    named = (
        ("steepest", test.steepest),
        ("lowest loss", test.minimum),
        ("suggested", test.suggestion),
    )
    losses = [loss for loss in test.losses if loss <= _highest(test)]
    room = 0.05 * (max(losses, default=1.0) - min(losses, default=0.0))
    limits = (min(losses) - room, max(losses) + room) if losses else None
    smoothed = list(zip(test.rates, test.smoothed, strict=True))
    return CurvesPlot(
        f"{name}: learning-rate range test",
        "learning rate (log scale)",
        "loss of the step's batch (nats per token)",
        [PlottedCurve("loss", smoothed, list(zip(test.rates, test.losses, strict=True)))],
        marks=[Mark(label, rate) for label, rate in named if rate is not None],
        y_limits=limits,
    )


def _highest(test: RangeTest) -> float:
    """The highest loss worth drawing."""
    smoothed = test.smoothed
    if not smoothed:
        return 0.0
    start = smoothed[0]
    return start + _ROOM * max(start - min(smoothed), 0.1 * abs(start))
