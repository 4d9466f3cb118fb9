"""Texts beside the tree: facts of the whole model, and everything about one module."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from transformer_playground.config.toml import toml_value
from transformer_playground.formatting import (
    count_text,
    counted,
    loss_text,
    optional_text,
    percent_text,
    size_text,
    value_text,
)
from transformer_playground.inspection.glyphs import height
from transformer_playground.terminal import visible_line
from transformer_playground.tui.model.reading import Reading, Shown
from transformer_playground.tui.model.table_state import QUANTITIES, TableState, shape_text
from transformer_playground.tui.model.tree_state import Row, differing_settings
from transformer_playground.tui.runs.details_text import Line
from transformer_playground.tui.shared.text import Role

if TYPE_CHECKING:
    from transformer_playground.inspection.weights import Histogram

_FLOAT32_BYTES = 4
_MOMENTS = 2
_HISTOGRAM_LINES = 4
_MOST_SETTINGS = 12


def facts(shown: Shown, measure_key: str) -> list[Line]:
    """Size and costs of the model, what was measured, and what went wrong; a line each."""
    reading = shown.reading
    lines: list[Line] = []
    if reading.structure is not None:
        lines.append(((" · ".join(_costs(reading)), "value"),))
        lines += [_line(text, "muted") for text in _measured(reading)]
    if shown.other is not None:
        lines.append(((_compared(shown, shown.other), "accent"),))
    if reading.is_waiting:
        text = f"A large model: {measure_key} measures its weights, gradients and silent neurons."
        lines.append(((text, "warn"),))
    problems = [*reading.notices, *([reading.problem] if reading.problem else [])]
    if shown.other is not None:
        problems += shown.other.notices
        problems += [shown.other.problem] if shown.other.problem else []
    lines += [_line(f"! {visible_line(text)}", "warn") for text in dict.fromkeys(problems)]
    return lines


def _costs(reading: Reading) -> Iterator[str]:
    structure = reading.structure or {}
    total, trained = structure["parameters"], structure["trainable"]
    some = f" ({count_text(trained)} trained)" if trained != total else ""
    if reading.has_vocabulary:
        yield f"{total:,} parameters{some}"
        yield f"{count_text(structure['flop_per_token'])} FLOP/token forward"
    else:
        yield f"{total:,} parameters{some} without the vocabulary, which preparing makes known"
    memory = reading.memory
    if memory is not None:
        parts = (memory.weights, memory.gradients, memory.optimizer, memory.activations)
        yield (
            f"training {size_text(sum(parts))}: {size_text(memory.weights)} weights + "
            f"{size_text(memory.gradients)} "
            f"gradients + {size_text(memory.optimizer)} optimizer + "
            f"{size_text(memory.activations)} activations"
        )
    else:
        optimizer = trained * _FLOAT32_BYTES * _MOMENTS
        yield f"{size_text(structure['bytes'])} weights + {size_text(optimizer)} optimizer"


def _measured(reading: Reading) -> Iterator[str]:
    entry = reading.entry
    if entry is None:
        return
    result = entry["result"]
    if result["loss"] is not None:
        count = result["windows"]
        windows = "1 window" if count == 1 else f"{count} windows"
        loss = loss_text(result["loss"])
        yield f"gradients: of the loss {loss} on {windows} of the validation split"
    earlier = [each["step"] for each in reading.history() if each["step"] < entry["step"]]
    if earlier and any(each["update_rms"] is not None for each in result["weights"]):
        before = max(earlier)
        steps = counted(entry["step"] - before, "step")
        yield f"upd/weight: change over {steps}, since step {before:,}"


def _compared(shown: Shown, other: Reading) -> str:
    if other.structure is None:
        return "nothing to compare with"
    settings = differing_settings(shown.reading.settings, other.settings)
    texts = [
        f"{visible_line(key.rpartition('.')[2])} {_setting(ours)} | {_setting(theirs)}"
        for key, ours, theirs in settings[:_MOST_SETTINGS]
    ]
    more = len(settings) - _MOST_SETTINGS
    end = f", and {more} more" if more > 0 else ""
    return f"settings that differ: {', '.join(texts)}{end}" if texts else "no setting differs"


def _setting(value: Any) -> str:
    return "–" if value is None else visible_line(toml_value(value))


def module_lines(state: TableState, row: Row, width: int) -> list[Line]:
    """Everything about a module.

    Args:
        state: What the table shows.
        row: The module.
        width: Cells of a line.
    """
    module = row.module
    lines: list[Line] = [((visible_line(row.name or "the whole model"), "title"),)]
    about = visible_line(" · ".join(filter(None, (module["kind"], module["about"]))))
    lines.append(((about, "muted"),))
    lines += [_pair(*pair) for pair in _facts_of(state, row)]
    difference = state.text(row, "difference", is_folded=True) if state.tree.is_pair else ""
    if difference:
        lines.append(((difference, "warn"),))
        if row.ours is not None and row.theirs is not None:
            theirs = shape_text(row.theirs), visible_line(row.theirs["about"])
            lines += [_pair("other", text) for text in theirs if text]
    mark = state.text(row, "mark", is_folded=True) if not state.tree.is_pair else ""
    if mark:
        lines.append(((mark, "warn"),))
    if (found := state.shown.histogram) is not None and state.shown.ask.histogram == row.name:
        lines += [(), *histogram_lines(found, width)]
    return [*lines, *_curve_lines(state, row)]


def _line(text: str, role: Role) -> Line:
    return ((text, role),)


def _pair(label: str, value: str) -> Line:
    return ((f"{label:<14}", "label"), (value, "value"))


def _facts_of(state: TableState, row: Row) -> Iterator[tuple[str, str]]:
    module = row.module
    for name, shape in module["shapes"].items():
        yield visible_line(name), " × ".join(f"{size:,}" if size else "?" for size in shape)
    trained = module["trainable"]
    some = "" if trained == module["parameters"] else f" ({trained:,} trained)"
    yield "parameters", f"{module['parameters']:,}{some}"
    yield "share", percent_text(module["share"])
    yield "memory", size_text(module["bytes"])
    if module["flop_per_token"]:
        yield "FLOP/token", f"{module['flop_per_token']:,}"
    if module["neurons"]:
        share = state.dead.get(row.name)
        silent = "" if share is None else f", {percent_text(share)} silent"
        yield "neurons", f"{module['neurons']:,}{silent}"
    sizes = state.sizes(row.name)
    for label, value in (
        ("weight", sizes.weight),
        ("gradient", sizes.gradient),
        ("update/weight", sizes.update),
        ("apart/weight", sizes.apart),
    ):
        if value is not None:
            yield label, value_text(value)


def _curve_lines(state: TableState, row: Row) -> Iterator[Line]:
    history = state.shown.reading.history()
    values = state.values(row.name)
    if len(history) < 2 or not any(value is not None for value in values):
        return
    yield ()
    yield ((f"{QUANTITIES[state.quantity]} by step", "title"),)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    top = max(finite, default=0.0)
    for entry, value in zip(history, values, strict=True):
        block = " " if value is None else height(value, top)
        yield (
            (f"{entry['step']:>11,}  ", "label"),
            (f"{block} ", "accent"),
            (optional_text(value, value_text, "–"), "value"),
        )


def histogram_lines(found: "Histogram", width: int) -> list[Line]:
    """A histogram of weights as columns of blocks, with its ends and what is outside."""
    columns = _columns(found.counts, max(1, width))
    top = max(columns, default=0)
    rows = []
    for line in reversed(range(_HISTOGRAM_LINES)):
        cells = [count / top * _HISTOGRAM_LINES - line if top else 0.0 for count in columns]
        rows.append("".join(" " if cell <= 0 else height(min(cell, 1.0), 1.0) for cell in cells))
    low, high = value_text(found.low), value_text(found.high)
    ends = f"{low}{high:>{max(1, len(columns) - len(low))}}"
    lines: list[Line] = [((f"{found.total:,} weights", "title"),)]
    lines += [_line(row, "accent") for row in rows]
    lines.append(((ends, "label"),))
    lines.append(_pair("mean ± std", f"{value_text(found.mean)} ± {value_text(found.std)}"))
    for label, count in (
        ("exactly 0", found.zeros),
        ("outside", found.outside),
        ("not finite", found.not_finite),
    ):
        if count:
            role: Role = "warn" if label == "not finite" else "value"
            share = percent_text(count / found.total)
            lines.append(((f"{label:<14}", "label"), (f"{count:,} ({share})", role)))
    return lines


def _columns(counts: Sequence[int], width: int) -> list[int]:
    """Counts in at most `width` columns: neighbours are added up where they do not fit."""
    per = -(-len(counts) // width)
    return [sum(counts[start : start + per]) for start in range(0, len(counts), per)]
