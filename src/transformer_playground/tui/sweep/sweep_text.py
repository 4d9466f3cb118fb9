"""What the Sweep view says about a sweep: list, title, effects, heat map and table, as text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from rich.cells import cell_len, set_cell_size

from transformer_playground.comparison.cells import estimate_text
from transformer_playground.comparison.significance import LEVEL
from transformer_playground.formatting import duration_text, loss_text
from transformer_playground.runs.fields import GLYPHS
from transformer_playground.runs.naming import setting_headers
from transformer_playground.sweeps.figures import HeatCell, HeatMap
from transformer_playground.sweeps.results import Combination, Effect
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.tables import combination_table
from transformer_playground.tables import Column, table_lines
from transformer_playground.terminal import visible_line
from transformer_playground.tui.shared.text import shorten, state_glyph
from transformer_playground.tui.sweep.service import SweepResults, SweepRow

Tone = Literal["plain", "muted", "full", "unsure", "best", "live", "bad"]
Line = tuple[tuple[str, Tone], ...]
"""Pieces of one line, safe to print."""

SHADE_GLYPHS = "█▓▒░"
BEST = "★"
NO_SWEEPS = """No sweeps yet.

{new} trains a run: give settings several values, and {sweep} makes a sweep of them.
In a shell: tp sweep new EXP --set key=value,value --seeds 3"""

_STATE_GLYPHS = {
    "finished": GLYPHS["finished"],
    "running": GLYPHS["running"],
    "open": state_glyph("queued"),
    "pruned": "–",
    "failed": GLYPHS["failed"],
}
_BAR, _UNSURE = "█", "▒"
_LEAST_BAR = 4
_MOST_LABEL = 14
# The label of an effect may take this part of a wide line.
_LABEL_SHARE = 3
_LEAST_ABOUT = 8
_MOST_LEVEL_LINES = 3


def title_text(results: SweepResults) -> str:
    """Name and size of a sweep."""
    return visible_line(f"{results.sweep.sweep_id} · {results.size}")


def progress_text(results: SweepResults) -> str:
    """Runs by state, and the time that they took and will take."""
    counts = results.counts
    parts = [f"{_STATE_GLYPHS[state]} {counts[state]}" for state in ("finished", "running", "open")]
    parts += [
        f"{_STATE_GLYPHS[state]} {counts[state]}"
        for state in ("pruned", "failed")
        if counts[state] or state == "failed"
    ]
    text = "  ".join(parts)
    if results.spent:
        text += f" · trained {duration_text(results.spent)}"
    if results.left is not None:
        text += f" · left about {duration_text(results.left)}"
    elif counts["open"]:
        text += " · time left unknown"
    if results.is_stopped and counts["open"]:
        text += " · stopped"
    return text


def list_line(row: SweepRow, width: int) -> Line:
    """A sweep in the list: its name, experiment, progress and best loss."""
    counts = row.counts
    if counts is None:
        tone: Tone = "bad" if row.problem else "muted"
        return (
            (f"{visible_line(row.sweep_id)} ", "plain"),
            (shorten(visible_line(row.problem) or "…", max(1, width - 20)), tone),
        )
    total = sum(counts.values())
    ended = total - counts["open"] - counts["running"]
    state = "running" if counts["running"] else "open" if counts["open"] else "finished"
    glyph = _STATE_GLYPHS[state]
    share = f"{ended:,}/{total:,}"
    failed = f"  {_STATE_GLYPHS['failed']} {counts['failed']}" if counts["failed"] else ""
    best = "" if row.best_loss is None else f"  best {loss_text(row.best_loss)}"
    tail = f"  {share}{best}{failed}"
    head = f"{glyph} {visible_line(row.sweep_id)}"
    about = f"{visible_line(row.experiment)} · {row.method}"
    space = max(0, width - cell_len(tail))
    name = shorten(head, space)
    rest = space - cell_len(name) - 3
    extra = f"  {shorten(about, rest)}" if rest >= _LEAST_ABOUT else ""
    gap = " " * max(0, space - cell_len(name) - cell_len(extra))
    tones: dict[str, Tone] = {"running": "live", "open": "muted", "finished": "plain"}
    shown = shorten(tail, max(1, width)) if not name else tail
    return ((name, tones[state]), (extra, "muted"), (gap, "plain"), (shown, "plain"))


def effect_lines(effects: Sequence[Effect], seeds: int, width: int) -> Iterator[Line]:
    """The lines of each setting: the mean loss of each value, and the effect as a bar.

    Args:
        effects: The largest first.
        seeds: Number of seeds of each combination.
        width: Columns.
    """
    if not effects:
        yield (("Effects are known once runs with different values have finished.", "muted"),)
        return
    headers = setting_headers([effect.key for effect in effects])
    label = min(max(_MOST_LABEL, width // _LABEL_SHARE), max(map(cell_len, headers.values())))
    longest = max(effect.size + (_error(effect) or 0.0) for effect in effects) or 1.0
    for effect in effects:
        error = _error(effect)
        size = f"  {loss_text(effect.size)}"
        size += "" if error is None else f" ± {error:.2g}"
        space = max(8, width - label - cell_len(size) - 1)
        name = set_cell_size(shorten(visible_line(headers[effect.key]), label), label)
        first, *more = _level_lines(effect, space)
        gap = " " * max(0, width - label - 1 - cell_len(first) - cell_len(size))
        yield ((f"{name} ", "muted"), (first, "plain"), (gap, "plain"), (size, "plain"))
        for text in more:
            yield ((" " * (label + 1), "muted"), (text, "plain"))
        yield _effect_bar(effect, longest, seeds, width)


def _level_lines(effect: Effect, space: int) -> list[str]:
    """The mean loss of each value; of more than the lines hold the first and the last ones."""
    texts = [
        f"{visible_line(level.value)} {_short_loss(level.loss.mean)}" for level in effect.levels
    ]
    lines = _packed(texts, space)
    for kept in range(len(texts) - 1, 1, -1):
        if len(lines) <= _MOST_LEVEL_LINES:
            break
        lines = _packed([*texts[: kept - 1], "…", texts[-1]], space)
    return [shorten(line, space) for line in lines[:_MOST_LEVEL_LINES]]


def _packed(texts: Sequence[str], space: int) -> list[str]:
    """Texts in lines, as many in each as fit, at least one."""
    lines: list[str] = []
    for text in texts:
        if lines and cell_len(lines[-1]) + 2 + cell_len(text) <= space:
            lines[-1] += f"  {text}"
        else:
            lines.append(text)
    return lines or [""]


def _effect_bar(effect: Effect, longest: float, seeds: int, width: int) -> Line:
    error = _error(effect) or 0.0
    note = _note(effect, seeds)
    space = max(_LEAST_BAR, width - (cell_len(note) + 3 if note else 0))
    size = effect.size
    sure = round(max(0.0, size - error) / longest * space)
    whole = round(min(longest, size + error) / longest * space)
    pieces: list[tuple[str, Tone]] = [
        (_BAR * sure or "▏", "full"),
        # Where the effect may end.
        (_UNSURE * max(0, whole - max(1, sure)), "unsure"),
    ]
    if note:
        pieces.append((shorten(f"  {note}", max(1, width - max(1, sure))), "muted"))
    return tuple(pieces)


def _note(effect: Effect, seeds: int) -> str:
    """What is not known about an effect; empty if it is clear."""
    tested = [level.p_value for level in effect.levels if level.p_value is not None]
    if not tested:
        return "its spread is unknown"
    if min(tested) >= LEVEL:
        by = f" of {seeds} seeds" if seeds > 1 else ""
        return f"within the spread{by}: no effect"
    return ""


def _error(effect: Effect) -> float | None:
    """Standard error of the difference between the best and the worst value."""
    found = effect.levels[-1].difference if effect.levels else None
    return found.standard_error if found else None


def _short_loss(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.3f}"


def heat_lines(found: HeatMap | None, width: int) -> Iterator[Line]:
    """The heat map as a table, with what its shades mean.

    Cells have glyph, loss and mark where the width allows it, else only what fits.
    """
    if found is None:
        yield (("A heat map needs two settings that vary.", "muted"),)
        return
    rows = [visible_line(text) for text in found.rows]
    label = min(_MOST_LABEL, max(map(cell_len, rows)))
    space = max(1, (width - label) // len(found.columns))
    texts: list[list[str]] = []
    for digits in (4, 3, 2, 0):
        texts = [[_cell_text(cell, digits) for cell in cells] for cells in found.cells]
        if 1 + max(cell_len(text) for line in texts for text in line) <= space:
            break
    shown = [*found.columns, *(text for line in texts for text in line)]
    size = min(space, 1 + max(cell_len(visible_line(text)) for text in shown))
    heads: list[tuple[str, Tone]] = [(" " * label, "muted")]
    for text in found.columns:
        head = shorten(visible_line(text), size - 1)
        heads.append((" " + set_cell_size(head, size - 1), "muted"))
    yield tuple(heads)
    for name, own, cells in zip(rows, texts, found.cells, strict=True):
        pieces: list[tuple[str, Tone]] = [
            (" " + set_cell_size(text, size - 1), _tone(cell))
            for text, cell in zip(own, cells, strict=True)
        ]
        yield ((set_cell_size(shorten(name, label), label), "plain"), *pieces)
    runs = found.most_runs
    means = f" · mean of up to {runs} runs" if runs > 1 else ""
    shades = f"{SHADE_GLYPHS[0]} best  {'  '.join(SHADE_GLYPHS[1:])} worst"
    yield ((shorten(f"{shades}{means}", width), "muted"),)


def _cell_text(cell: HeatCell, digits: int) -> str:
    if cell.loss.mean is None or cell.shade is None:
        return "·" if cell.state is None else _STATE_GLYPHS[cell.state]
    text = SHADE_GLYPHS[cell.shade]
    if digits:
        text += f" {cell.loss.mean:.{digits}f}"
    return f"{text} {BEST}" if cell.is_best and digits else text + BEST * cell.is_best


def _tone(cell: HeatCell) -> Tone:
    if cell.is_best:
        return "best"
    tones: dict[str | None, Tone] = {"running": "live", "failed": "bad", "finished": "plain"}
    return tones.get(cell.state, "muted")


def combination_lines(
    combinations: Sequence[Combination], requested: Sequence[str], width: int
) -> list[str]:
    """Header and rows of the table of combinations, the best one marked."""
    states = [_states_text(each, requested) for each in combinations]
    last = Column("", states, shrink_last=True)
    marks = Column("", [_mark(each, combinations) for each in combinations], shrink_last=True)
    *columns, _ = combination_table(combinations)
    settings = len(combinations[0].values) if combinations else 0
    columns = [
        replace(each, weight=None, shrink_last=place >= settings)
        for place, each in enumerate(columns)
    ]
    return table_lines([marks, *columns, last], width)


def _mark(each: Combination, combinations: Sequence[Combination]) -> str:
    best = combinations[0].loss.mean
    return BEST if best is not None and each.loss.mean == best else " "


def _states_text(each: Combination, requested: Sequence[str]) -> str:
    """What the runs of a combination do that have not finished."""
    counts: dict[str, int] = {}
    for state in each.states:
        if state.state != "finished":
            counts[state.state] = counts.get(state.state, 0) + 1
    parts = [f"{_STATE_GLYPHS[state]} {count}" for state, count in counts.items()]
    waiting = {state.trial.run_id for state in each.states if state.state == "open"}
    if waiting & {*requested}:
        parts.append("next")
    return " ".join(parts)


def detail_line(each: Combination | None, name_of: Callable[[str], str]) -> str:
    """The runs of the combination under the cursor, with their losses."""
    if each is None:
        return ""
    parts = []
    for state in each.states:
        glyph = _STATE_GLYPHS[state.state]
        loss = state.row.summary.best_val_loss if state.row else None
        text = f"{glyph} seed {state.trial.seed}"
        if loss is not None:
            text += f" {loss_text(loss)}"
        if state.is_reused and state.row:
            text += f" ({name_of(state.row.run_id)})"
        parts.append(text)
    mean = f"{estimate_text('loss', each.loss)}: " if each.loss.mean is not None else ""
    return visible_line(f"{mean}{'  '.join(parts)}")


def addition_hint(sweep: Sweep) -> str:
    """What can be added to a sweep, as it is typed."""
    seeds = f"seeds={len(sweep.seeds) + 1}"
    if sweep.runs is not None:
        return f"{seeds}, or runs={2 * sweep.runs}: the number with those there are"
    if sweep.method == "list" or not sweep.keys:
        return f"{seeds}: the number with those there are"
    return f"{setting_headers(sweep.keys)[sweep.keys[0]]}=value,value; {seeds}: all together"
