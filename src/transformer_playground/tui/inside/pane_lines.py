"""The logit lens and the attention of the heads as lines of styled pieces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from transformer_playground.inspection.glyphs import (
    bar,
    bits,
    heights,
    percent,
    quoted,
    shade,
)
from transformer_playground.inspection.render import attended
from transformer_playground.tui.inside.inside_state import InsideState
from transformer_playground.tui.inside.question import Answer, Column
from transformer_playground.tui.inside.text_lines import (
    MUTED,
    Line,
    shown_token,
    text_flow,
    token_name,
)
from transformer_playground.tui.shared.text import one_line, shorten

if TYPE_CHECKING:
    from transformer_playground.inspection.lens import LayerPrediction

_LABEL = len("embedding") + 1
_CHOICE = 13
_BAR = 6
_CHOSEN, _OUT = "▌", "✗"
_TARGET = 16
# Least width with the bar of entropy, and with what each layer gives the token that follows.
_LEAST_WITH_BAR, _LEAST_WITH_TARGET = 40, 64
# Width of the words beside the bars of a head, and least width of the bars.
_WORDS = 22
_LEAST_BARS = 12
# Cells before the bars of a head.
_HEAD = 9


def lens_lines(
    answer: Answer, column: Column, state: InsideState, width: int, rows: int
) -> list[Line]:
    """What each layer would predict, around the chosen block, and from where on it is right."""
    if column.problem or column.lens_problem:
        return [[(column.problem or column.lens_problem, "$warning")]]
    top = max((each.entropy for each in column.lens), default=0.0)
    has_bar = width >= _LEAST_WITH_BAR
    has_target = width >= _LEAST_WITH_TARGET and any(
        each.target_rank is not None for each in column.lens
    )
    space = width - 1 - _LABEL - (_BAR + 5 if has_bar else 0) - (_TARGET if has_target else 0)
    count = min(3, max(1, space // _CHOICE))
    cell = min(_CHOICE + 6, space // count)
    lines: list[Line] = []
    for number, each in enumerate(column.lens):
        is_chosen = number == state.block + 1
        label = "embedding" if number == 0 else f"block {number - 1}"
        line: Line = [
            (_CHOSEN if is_chosen else " ", "$accent"),
            (label.ljust(_LABEL), "bold" if is_chosen else ""),
        ]
        for token, probability in each.likeliest[:count]:
            shown = f"{token_name(answer, token, cell - 9)} {percent(probability)}"
            style = "bold" if token == column.expected else MUTED
            line.append((_cells(shown, cell), style))
        if has_target:
            line.append((_cells(_target(answer, column, each), _TARGET), ""))
        if has_bar:
            line.append((f"{bits(each.entropy, 1):>4} ", MUTED))
            line.append((bar(each.entropy, top, _BAR), "$accent"))
        lines.append(line)
    kept = _around(lines, state.block + 1, rows - 1)
    return [*kept, [(shorten(_decision(answer, column), width), MUTED)]]


def _target(answer: Answer, column: Column, layer: "LayerPrediction") -> str:
    """What a layer gives the token that follows, and its rank."""
    if column.expected is None or layer.target_rank is None:
        return ""
    name = token_name(answer, column.expected, 2)
    return f"{name} {percent(layer.target_probability)} #{layer.target_rank:,}"


def _decision(answer: Answer, column: Column) -> str:
    """From which layer on the prediction stays what it is."""
    text = answer.text
    if text is None or column.expected is None:
        return ""
    token = token_name(answer, column.expected)
    is_after = answer.here >= len(text.tokens)
    if column.decided is None:
        likeliest, probability = column.lens[-1].likeliest[0]
        return f"the output is {token_name(answer, likeliest)} {percent(probability)}, not {token}"
    place = "the embedding" if column.decided == 0 else f"block {column.decided - 1}"
    return f"{'decided' if is_after else 'right'} from {place} on: {token}"


def attention_lines(
    answer: Answer, column: Column, state: InsideState, width: int, rows: int
) -> list[Line]:
    """Where each head of the block looks from the token before the cursor, and the other parts."""
    text = answer.text
    if text is None or column.problem or column.attention_problem:
        return [[(column.problem or column.attention_problem, "$warning")]]
    seen = text.texts[: answer.here]
    # Words take what the bars leave.
    words = max(min(_WORDS, width - _HEAD - _LEAST_BARS), width - _HEAD - len(seen))
    bars = max(1, min(width - _HEAD - words, len(seen)))
    lines: list[Line] = []
    top, document = highest_weight(column), _document(answer)
    for head, weights in enumerate(column.weights):
        name = f"{column.block}.{head}"
        kind = column.kinds[head] if head < len(column.kinds) else None
        about = one_line(attended(weights, document, text.start))
        if kind is not None:
            what = f"{kind.name} {kind.score:.2f}"
            both = f"{what} · {about}"
            # The end of a sentence would be missing.
            about = both if cell_len(both) < words else what
        line = _part(state, column, name, f"head {head}")
        line.append((heights(weights[-bars:], top).ljust(bars), "$accent"))
        line.append((" " + shorten(about, max(0, words - 1)), MUTED))
        lines.append(line)
    if column.block < len(column.has_mlp) and column.has_mlp[column.block]:
        lines.append(_part(state, column, f"{column.block}.mlp", "MLP"))
    lines.append(_part(state, column, str(column.block), "block"))
    place = next((n for n, line in enumerate(lines) if line[0][0] == _CHOSEN), 0)
    below = _shaded(answer, column, state, width, bars)
    kept = _around(lines, place, max(1, rows - len(below)))
    return [*kept, *below]


def highest_weight(column: Column) -> float:
    """The largest of the weights, which a full block stands for."""
    return max((max(weights) for weights in column.weights), default=1.0)


def _part(state: InsideState, column: Column, name: str, label: str) -> Line:
    is_chosen = name == state.part_name
    is_out = name in column.parts or str(column.block) in column.parts
    return [
        (_CHOSEN if is_chosen else " ", "$accent"),
        (_OUT if is_out else " ", "bold $warning"),
        (f"{label:<7}", "bold" if is_chosen else ""),
    ]


def _shaded(
    answer: Answer, column: Column, state: InsideState, width: int, bars: int
) -> list[Line]:
    """The end of the text, shaded by the attention of the chosen head, and its top tokens."""
    text, head = answer.text, state.head
    if text is None or head is None or head >= len(column.weights):
        return []
    weights, seen = column.weights[head], text.texts[: answer.here]
    order = sorted(range(len(weights)), key=lambda place: -weights[place])[:3]
    most = "  ".join(
        f"{quoted(one_line(seen[place]), 8)} {percent(weights[place])}" for place in order
    )
    top = max(weights)
    if all(cell_len(shown_token(each)) == 1 for each in seen):
        # One cell for each token: the text stands below the bars.
        line = "".join(map(shown_token, seen[-bars:]))
        marks = "".join(shade(each / top if top else 0.0) for each in weights[-bars:])
        return [
            [("text     ", MUTED), (line, "")],
            [(" " * 9, ""), (marks, "$accent")],
            [("most on  ", MUTED), (shorten(most, width - 9), "")],
        ]
    flow = text_flow(seen, width)
    row = flow[len(flow) - 1] or flow[max(0, len(flow) - 2)]
    marks = "".join(
        shade(weights[token] / top if top else 0.0) * cell_len(piece) for token, piece in row
    )
    return [
        [("".join(piece for _, piece in row), "")],
        [(marks, "$accent")],
        [("most on  ", MUTED), (shorten(most, width - 9), "")],
    ]


def _document(answer: Answer) -> dict[str, object]:
    text = answer.text
    tokens, texts = (text.tokens, tuple(map(one_line, text.texts))) if text else ((), ())
    return {"text": {"tokens": tokens, "token_texts": texts}}


def _around(lines: Sequence[Line], place: int, rows: int) -> list[Line]:
    """As many of the lines as fit, with one of them in the middle."""
    rows = max(1, rows)
    first = min(max(0, place - rows // 2), max(0, len(lines) - rows))
    return list(lines[first : first + rows])


def _cells(text: str, width: int) -> str:
    short = shorten(text, width - 1)
    return short + " " * (width - cell_len(short))
