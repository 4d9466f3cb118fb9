"""The figure of a scaling study: loss against parameters, one curve for each budget."""

import math
from collections.abc import Sequence

from transformer_playground.formatting import count_text, percent_text
from transformer_playground.plots.curves_plot import CurvesPlot, Interval, PlottedCurve
from transformer_playground.scaling.law import LEVEL
from transformer_playground.scaling.points import Result
from transformer_playground.scaling.study import Study

_STEPS = 60


def study_plot(study: Study, title: str) -> CurvesPlot:
    """Loss against parameters; without enough sizes for that term, against tokens."""
    law = study.law
    by_size = law is None or law.size is not None
    groups: dict[int, list[Result]] = {}
    for result in study.results:
        shown = result.member.tokens if by_size else result.member.shape.parameters
        groups.setdefault(shown, []).append(result)
    curves = [_curve(study, group, results, by_size=by_size) for group, results in groups.items()]
    return CurvesPlot(
        title,
        "parameters (log scale)" if by_size else "training tokens (log scale)",
        "loss on the whole validation split (nats per token)",
        curves,
        _intervals(study, by_size=by_size),
        x_are_counts=True,
    )


def _curve(study: Study, group: int, results: Sequence[Result], *, by_size: bool) -> PlottedCurve:
    """The points of one budget or size, with the law and its band where it is for that."""
    law, limits = study.law, _limits(study, by_size=by_size)
    label = f"{count_text(group)} {'tokens' if by_size else 'parameters'}"
    points = [
        (_x(result, by_size=by_size), result.loss.mean)
        for result in results
        if result.loss.mean is not None
    ]
    known = set[int]()
    if law is not None:
        known = {point.tokens if by_size else point.parameters for point in law.points}
    if law is None or group not in known:
        return PlottedCurve(label, points=points)
    low, high = map(math.log, limits)
    line, band = [], []
    for step in range(_STEPS + 1):
        x = math.exp(low + (high - low) * step / _STEPS)
        place = (x, group) if by_size else (group, x)
        line.append((x, law.expected(*place)))
        if (found := law.band_of_mean(*place)) is not None:
            band.append((x, *found))
    return PlottedCurve(label, line, points, band)


def _intervals(study: Study, *, by_size: bool) -> list[Interval]:
    prediction, held_out = study.prediction, study.held_out
    if prediction is None:
        return []
    low, high = prediction.band or (prediction.loss, prediction.loss)
    size = count_text(held_out.member.shape.parameters)
    band = "prediction" if prediction.band is None else f"{percent_text(LEVEL)} band"
    label = f"{band} for {size} parameters"
    x = _x(held_out, by_size=by_size)
    return [Interval(label, x, low, high, held_out.loss.mean, f"{size} parameters, held out")]


def _limits(study: Study, *, by_size: bool) -> tuple[float, float]:
    xs = [_x(result, by_size=by_size) for result in (*study.results, study.held_out)]
    return min(xs), max(xs)


def _x(result: Result, *, by_size: bool) -> float:
    member = result.member
    return float(member.shape.parameters if by_size else member.tokens)
