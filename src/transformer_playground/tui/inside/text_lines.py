"""The text with its cursor and a curve of surprisal below each row, as lines of styled pieces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from transformer_playground.formatting import loss_text, signed_text
from transformer_playground.inspection.glyphs import bits, height, named, percent, quoted
from transformer_playground.tui.inside.inside_state import InsideState
from transformer_playground.tui.inside.question import Answer, Column
from transformer_playground.tui.shared.flow import PLAIN, Flow, Row
from transformer_playground.tui.shared.text import LINE_BREAK, one_line

Line = list[tuple[str, str]]
"""Pieces of one line, safe to print, each with its style."""

MUTED = "$text-muted"
_NATS_PER_BIT = math.log(2)
_MOST_NATS = 8 * _NATS_PER_BIT
_GUTTER = 3
_NO_WIDTH = "·"


def token_name(answer: Answer, token: int, most: int = 14) -> str:
    """A token in quotes, or its id if it has no text; at most `most` cells inside the quotes."""
    text = (answer.names or {}).get(token, "")
    return named({"text": text.replace("\n", LINE_BREAK), "token": token}, most)


def shown_token(text: str) -> str:
    """Text of a token in one line, of at least one cell."""
    safe = one_line(text)
    return safe if cell_len(safe) else _NO_WIDTH


def text_flow(texts: Sequence[str], width: int) -> Flow:
    """The tokens wrapped into rows."""
    flow = Flow(max(1, width - 1))
    for place, text in enumerate(texts):
        flow.push(place, shown_token(text))
    return flow


@dataclass(frozen=True)
class Curve:
    """Surprisal of each token, with a label of at most two cells."""

    label: str
    surprisals: tuple[float | None, ...]
    style: str


def curves_of(answer: Answer) -> list[Curve]:
    """One curve for each checkpoint, and one without what is knocked out."""
    found = []
    labels = "ab" if len(answer.columns) > 1 else " "
    for label, column in zip(labels, answer.columns, strict=False):
        if column.scores is not None:
            found.append(Curve(label, column.scores.surprisals, "$accent"))
        if column.without is not None:
            found.append(Curve(f"{label}−".strip(), column.without.surprisals, "$primary"))
    return found


def shown_curves(answer: Answer, rows: int) -> list[Curve]:
    """The curves that fit below one row of text; those without the parts last longest."""
    curves = curves_of(answer)
    for curve in [each for each in curves if "−" not in each.label] + curves:
        if len(curves) < max(1, rows):
            break
        if curve in curves:
            curves.remove(curve)
    return curves


def text_lines(answer: Answer, width: int, rows: int) -> tuple[list[Line], list[Row]]:
    """The rows around the cursor, each with its curves, and the rows of tokens for the mouse.

    Args:
        answer: With a text.
        width: Columns.
        rows: How many lines there may be.
    """
    if answer.text is None:
        return [], []
    flow = text_flow(answer.text.texts, width - _GUTTER)
    curves = shown_curves(answer, rows)
    each = 1 + len(curves)
    fitting = max(1, rows // each)
    at = _row_of(flow, answer.here)
    first = min(max(0, at - fitting // 2), max(0, len(flow) - fitting))
    shown = [flow[number] for number in range(first, min(first + fitting, len(flow)))]
    lines: list[Line] = []
    for row in shown:
        lines.append([(" " * _GUTTER, ""), *_pieces(row, answer.here)])
        for curve in curves:
            marks = "".join(_mark(curve, token) * cell_len(text) for token, text in row)
            lines.append([(curve.label.ljust(_GUTTER), MUTED), (marks, curve.style)])
    if answer.here == len(answer.text.texts) and lines:
        is_last = first + len(shown) == len(flow)
        if is_last:
            lines[-each].append((" ", "reverse"))
    return lines, shown


def token_at(rows: Sequence[Row], curves: int, x: int, y: int) -> int | None:
    """Token at a place of the lines; None beside them."""
    number = y // (1 + curves)
    edge = _GUTTER
    if x < edge or not 0 <= number < len(rows):
        return None
    for token, text in rows[number]:
        edge += cell_len(text)
        if x < edge:
            return token
    return None


def _row_of(flow: Flow, token: int) -> int:
    wanted = (number for number in range(len(flow)) if any(t == token for t, _ in flow[number]))
    return next(wanted, len(flow) - 1)


def _pieces(row: Row, here: int) -> Line:
    return [(text, "bold reverse" if token == here else "") for token, text in row]


def _mark(curve: Curve, token: int) -> str:
    value = curve.surprisals[token] if token != PLAIN else None
    return " " if value is None else height(value, _MOST_NATS)


def detail_line(answer: Answer, column: Column) -> Line:
    """The token under the cursor: probability, rank, surprisal, and entropy of the prediction."""
    text, scores, here = answer.text, column.without or column.scores, answer.here
    if text is None or scores is None:
        return []
    entropy = f"entropy {bits(scores.entropies[here - 1], 1)} bits"
    if here >= len(text.tokens):
        likeliest = "  ".join(
            f"{token_name(answer, token)} {percent(p)}" for token, p in scores.likeliest[-1][:3]
        )
        found: Line = [("after the text  ", MUTED), (likeliest, "bold"), (f"  {entropy}", MUTED)]
        return [*found, *_changed(column)]
    line: Line = [
        (f"token {answer.position:,} of 0–{text.count - 1:,}  ", MUTED),
        (quoted(one_line(text.texts[here])), "bold"),
        (f"  p {percent(scores.probabilities[here])}", "bold"),
        (f"  rank {scores.ranks[here]:,}", ""),
        (f"  surprisal {bits(scores.surprisals[here], 1)} bits", ""),
        (f"  {entropy}", MUTED),
    ]
    return [*line, *_changed(column)]


def _changed(column: Column) -> Line:
    """That the numbers are not those of the model as it is."""
    if column.without is None:
        return []
    return [("  without the part" + ("s" if len(column.parts) > 1 else ""), "$warning")]


def mean_text(answer: Answer) -> str:
    """Mean surprisal of the text, and of both columns with their difference; empty without one."""
    means = [each.scores.mean_loss for each in answer.columns if each.scores is not None]
    known = [mean for mean in means if mean is not None]
    if not known:
        return ""
    if len(known) == 1:
        return f" · {bits(known[0])} bits per token"
    change = signed_text((known[1] - known[0]) / _NATS_PER_BIT, lambda value: f"{value:.2f}")
    return f" · a {bits(known[0])}, b {bits(known[1])} bits per token ({change})"


def knocked_out_lines(state: InsideState, *, is_short: bool = False) -> list[Line]:
    """What the text costs without the parts, and how it goes on, before and after.

    Args:
        state: With the answer.
        is_short: Whether only the costs are told.
    """
    answer = state.answer
    lines: list[Line] = []
    columns = answer.columns if answer else ()
    for label, column in zip("ab" if len(columns) > 1 else " ", columns, strict=False):
        prefix = f"{label} " if label.strip() else ""
        if column.scores is None:
            continue
        if column.without is None:
            lines.append([(f"{prefix}has none of these parts", MUTED)])
            continue
        lines.append([(prefix, MUTED), *_cost(column)])
        for name, place in () if is_short else (("as it is", 0), ("without ", 1)):
            line: Line = [(f"{prefix}{name}  … ", MUTED)]
            if column.continued is None:
                line.append(("computing", MUTED))
            else:
                line.append((one_line(column.continued[place]), "bold"))
            lines.append(line)
    return lines


def _cost(column: Column) -> Line:
    before = column.scores.mean_loss if column.scores else None
    after = column.without.mean_loss if column.without else None
    if before is None or after is None:
        return [("a single token has no loss", MUTED)]
    change = signed_text((after - before) / _NATS_PER_BIT, loss_text)
    worse = after > before
    return [
        (f"{bits(before, 4)} → {bits(after, 4)} bits per token  ", ""),
        (f"{change} {'worse' if worse else 'better'}", "bold $warning" if worse else "bold"),
    ]
