"""Views of a sweep: one question each, as tables, CSV and JSON; `pictures.py` draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from transformer_playground.comparison.estimates import Estimate
from transformer_playground.errors import UsageError
from transformer_playground.formatting import loss_text, position_text
from transformer_playground.inspection.glyphs import height, shade
from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.runs.fields import setting_text
from transformer_playground.runs.naming import setting_headers
from transformer_playground.sweeps.figures import (
    SHADES,
    HeatCell,
    HeatMap,
    ParallelAxis,
    ParallelLine,
    heat_map,
    parallel_coordinates,
)
from transformer_playground.sweeps.group_curves import (
    GroupCurve,
    curves_by_combination,
    curves_by_setting,
    losses_reader,
)
from transformer_playground.sweeps.levels import find_setting
from transformer_playground.sweeps.results import Combination, Effect, combine, effects
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.tables import combination_table, effect_table
from transformer_playground.sweeps.trials import TrialState
from transformer_playground.tables import Column

ViewName = Literal["best", "effects", "heatmap", "parallel", "curves"]
VIEWS: tuple[ViewName, ...] = ("best", "effects", "heatmap", "parallel", "curves")
SCHEMA_VERSION = 1

_STRIP = 11
_MOST_ROWS = 24
_MOST_STEPS = 5
_SPARK = 16


@dataclass(frozen=True)
class SweepData:
    """A sweep with what is known of its runs.

    Attributes:
        states: Of all its trials.
        runs_dir: Folder of the runs, for their curves.
    """

    sweep: Sweep
    states: Sequence[TrialState]
    runs_dir: Path

    @property
    def combinations(self) -> list[Combination]:
        """Best first."""
        return combine(self.states)

    @property
    def effects(self) -> list[Effect]:
        """Largest first."""
        return effects(self.sweep.axes, self.combinations)


@dataclass(frozen=True)
class Shown:
    """A view as text.

    Attributes:
        title: What is shown, in one sentence.
        tables: For people.
        header, rows: For CSV, at full precision.
        values: For JSON.
    """

    title: str
    tables: Sequence[Sequence[Column]]
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    values: dict[str, Any]


def best_view(data: SweepData) -> Shown:
    """All combinations, best first, with the number of runs that support each."""
    combinations = data.combinations
    keys = data.sweep.keys
    rows = [
        [*(dict(each.values)[key] for key in keys), *_numbers(each.loss)] for each in combinations
    ]
    return Shown(
        "Mean best validation loss ± standard error over seeds",
        [combination_table(combinations)],
        [*keys, "val_loss", "standard_error", "runs"],
        rows,
        {
            "combinations": [
                {"values": dict(each.values), **_estimate(each.loss)} for each in combinations
            ]
        },
    )


def effects_view(data: SweepData) -> Shown:
    """How much each setting matters, with its uncertainty."""
    found = data.effects
    header = ["setting", "value", "val_loss", "standard_error", "runs"]
    header += ["difference", "difference_error", "p_value", "test"]
    entries = [
        {
            "setting": effect.key,
            "value": level.value,
            **_estimate(level.loss),
            "difference": level.difference.mean if level.difference else None,
            "difference_error": level.difference.standard_error if level.difference else None,
            "p_value": level.p_value,
            "test": level.test,
        }
        for effect in found
        for level in effect.levels
    ]
    return Shown(
        "Effect of each setting on the best validation loss, the largest first",
        [effect_table(effect) for effect in found],
        header,
        [[entry[name] for name in header] for entry in entries],
        {"effects": entries},
    )


def chosen_settings(data: SweepData, x: str | None, y: str | None) -> tuple[str, str]:
    """The settings of the rows and of the columns of a heat map; by default the two that matter.

    Raises:
        UsageError: One does not vary, both are the same, or fewer than two vary.
    """
    axes = data.sweep.axes
    if len(axes) < 2:
        raise UsageError(
            "A heat map needs two settings that vary.", "See --view best or --view curves."
        )
    named = [find_setting(axes, name) for name in (y, x) if name is not None]
    if len(set(named)) < len(named):
        raise UsageError(f"--x and --y are both {named[0]}.", "Name two settings.")
    order = [effect.key for effect in data.effects]
    order += [axis.key for axis in axes if axis.key not in order]
    free = [key for key in order if key not in named]
    across = find_setting(axes, x) if x is not None else free.pop(0)
    down = find_setting(axes, y) if y is not None else free.pop(0)
    return down, across


def heat_map_of(data: SweepData, x: str | None, y: str | None) -> HeatMap:
    """The heat map of two settings; see `chosen_settings`."""
    return heat_map(data.sweep.axes, data.states, chosen_settings(data, x, y))


def heat_map_view(data: SweepData, found: HeatMap) -> Shown:
    """The loss for each pair of values of two settings."""
    headers = setting_headers(data.sweep.keys)
    down, across = (headers[key] for key in found.keys)
    # Other settings differ within a cell in more than chance.
    is_exact = len(data.sweep.axes) == 2
    columns = [Column(f"{down} \\ {across}", list(found.rows))]
    for place, name in enumerate(found.columns):
        columns.append(Column(name, [_cell_text(row[place]) for row in found.cells]))
    header = [*found.keys, "val_loss", "standard_error", "runs"]
    rows = [
        [low, high, *_numbers(cell.loss, with_error=is_exact)]
        for low, row in zip(found.rows, found.cells, strict=True)
        for high, cell in zip(found.columns, row, strict=True)
    ]
    names = ("y_value", "x_value", *header[2:])
    over = "over seeds" if is_exact else "over all other settings and seeds"
    return Shown(
        f"Mean best validation loss {over}, █ = best quarter of the range, ★ = best",
        [columns],
        header,
        rows,
        {
            "y": found.keys[0],
            "x": found.keys[1],
            "cells": [dict(zip(names, row, strict=True)) for row in rows],
        },
    )


def parallel_view(
    data: SweepData, axes: Sequence[ParallelAxis], lines: Sequence[ParallelLine]
) -> Shown:
    """All finished runs with their place on each axis, best first."""
    ordered = list(reversed(lines))
    shown = ordered[:_MOST_ROWS]
    columns = []
    for place, axis in enumerate(axes):
        texts = [_value_on(axis, place, line) for line in shown]
        strips = [_strip(line.places[place]) for line in shown]
        width = max(map(len, texts), default=0)
        cells = [f"{strip} {text:>{width}}" for strip, text in zip(strips, texts, strict=True)]
        columns.append(Column(axis.title, cells, weight=0 if axis.kind == "rate" else None))
    columns.append(Column("seed", [str(line.state.trial.seed) for line in shown], True))
    keys = data.sweep.keys
    rows = [
        [
            *(dict(line.state.trial.values)[key] for key in keys),
            line.state.trial.seed,
            line.state.row.run_id if line.state.row else "",
            line.state.row.summary.tokens_per_sec_median if line.state.row else None,
            line.state.row.summary.best_val_loss if line.state.row else None,
        ]
        for line in ordered
    ]
    header = [*keys, "seed", "run_id", "tokens_per_sec", "val_loss"]
    more = f"; the best {_MOST_ROWS} of {len(ordered)}" if len(ordered) > _MOST_ROWS else ""
    return Shown(
        f"Finished runs, best first, with their place on each axis{more}",
        [columns],
        header,
        rows,
        {
            "runs": [
                {
                    "values": dict(line.state.trial.values),
                    **dict(zip(header[-4:], row[-4:], strict=True)),
                }
                for line, row in zip(ordered, rows, strict=True)
            ]
        },
    )


def curves_of(data: SweepData, by: str | None) -> list[GroupCurve]:
    """Learning curves by the values of a setting, or of each combination.

    Raises:
        UsageError: The setting does not vary.
    """
    read = losses_reader(data.runs_dir)
    if by is None:
        return curves_by_combination(data.combinations, read)
    axes = data.sweep.axes
    return curves_by_setting(axes, data.combinations, find_setting(axes, by), read)


def curves_view(curves: Sequence[GroupCurve]) -> Shown:
    """Mean validation loss of each group at some of its steps, with its band over seeds."""
    shown = curves[:_MOST_ROWS]
    steps = sorted({float(step) for curve in shown for step in curve.steps})
    count = min(_MOST_STEPS, len(steps))
    chosen = (
        [steps[round(place)] for place in np.linspace(0, len(steps) - 1, count)] if steps else []
    )
    ends = [bound for curve in shown for bound in (curve.mean.min(), curve.mean.max())]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    columns = [Column("group", [curve.label for curve in shown], shrink_last=True)]
    sparks = [_sparkline(curve, low, high) for curve in shown]
    columns.append(Column("curve", sparks, weight=len(chosen)))
    for place, step in enumerate(chosen):
        # In a narrow terminal the last step is left, and the curve.
        weight = None if place == len(chosen) - 1 else place
        cells = [_at(curve, step) for curve in shown]
        columns.append(Column(f"step {position_text(step)}", cells, True, weight))
    columns.append(Column("runs", [str(curve.runs) for curve in shown], True))
    more = f"; {len(shown)} of {len(curves)} groups" if len(shown) < len(curves) else ""
    entries = [
        {
            "group": curve.label,
            "step": int(step),
            "val_loss": float(mean),
            "standard_error": None if math.isnan(error) else float(error),
            "runs": curve.runs,
        }
        for curve in curves
        for step, mean, error in zip(curve.steps, curve.mean, curve.error, strict=True)
    ]
    header = ["group", "step", "val_loss", "standard_error", "runs"]
    return Shown(
        f"Mean validation loss ± standard error over seeds{more}",
        [columns],
        header,
        [[entry[name] for name in header] for entry in entries],
        {"points": entries},
    )


def as_json(data: SweepData, view: ViewName, shown: Shown) -> dict[str, Any]:
    """The JSON document of a view."""
    plain: dict[str, Any] = to_jsonable(
        {
            "schema_version": SCHEMA_VERSION,
            "sweep": data.sweep.sweep_id,
            "view": view,
            **shown.values,
        }
    )
    return plain


def parallel_of(data: SweepData) -> tuple[tuple[ParallelAxis, ...], tuple[ParallelLine, ...]]:
    """Parallel coordinates of all finished runs."""
    return parallel_coordinates(data.sweep.axes, data.states)


def _numbers(loss: Estimate, *, with_error: bool = True) -> list[float | int | None]:
    return [loss.mean, loss.standard_error if with_error else None, loss.n]


def _estimate(loss: Estimate) -> dict[str, float | int | None]:
    return dict(zip(("val_loss", "standard_error", "runs"), _numbers(loss), strict=True))


def _cell_text(cell: HeatCell) -> str:
    if cell.shade is None:
        return cell.state or ""
    assert cell.loss.mean is not None
    mark = " ★" if cell.is_best else ""
    return f"{shade(1 - cell.shade / SHADES)} {loss_text(cell.loss.mean)}{mark}"


def _strip(place: float | None) -> str:
    if place is None:
        return " " * _STRIP
    spot = round(place * (_STRIP - 1))
    return "─" * spot + "●" + "─" * (_STRIP - 1 - spot)


def _value_on(axis: ParallelAxis, place: int, line: ParallelLine) -> str:
    row = line.state.row
    if axis.kind == "setting":
        return setting_text(line.state.trial.values[place][1])
    if row is None:
        return ""
    if axis.kind == "rate":
        rate = row.summary.tokens_per_sec_median
        return "" if rate is None else position_text(round(rate))
    loss = row.summary.best_val_loss
    return "" if loss is None else loss_text(loss)


def _sparkline(curve: GroupCurve, low: float, high: float) -> str:
    places = np.linspace(0, len(curve.mean) - 1, min(_SPARK, len(curve.mean)))
    return "".join(height(float(curve.mean[round(place)]) - low, high - low) for place in places)


def _at(curve: GroupCurve, step: float) -> str:
    place = int(np.searchsorted(curve.steps, step))
    if place == len(curve.steps) or curve.steps[place] != step:
        return ""
    error = curve.error[place]
    text = loss_text(curve.mean[place])
    return text if math.isnan(error) else f"{text} ± {error:.2g}"
