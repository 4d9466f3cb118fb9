"""What the Data view says: tokens with their borders, tables, and where the reader goes."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from transformer_playground.data.browsing.overlap import Overlap, SharedLine
from transformer_playground.data.browsing.statistics import SplitStatistics
from transformer_playground.dataset_views.measures import HardWindow
from transformer_playground.dataset_views.reading import (
    BatchRow,
    ShownToken,
    StepBatch,
    TokenWindow,
)
from transformer_playground.dataset_views.vocabulary import Sort, VocabularyRow
from transformer_playground.errors import UsageError
from transformer_playground.formatting import (
    UNKNOWN,
    count_text,
    counted,
    loss_text,
    optional_text,
    percent_text,
)
from transformer_playground.terminal import visible_line
from transformer_playground.tui.shared.text import LINE_BREAK, shorten, typed_number

Tone = Literal["plain", "muted", "border", "masked", "found", "bar", "warning"]
Line = tuple[tuple[str, Tone], ...]
"""Pieces of one line, safe to print."""

MOST_ROWS = 1_000
"""Rows of a list; the vocabulary of a base model has a hundred times as many tokens."""
BORDER = "·"

_BAR = 24
# Beyond this share of its lines the validation text does not say much about new text.
_MUCH_SHARED = 0.2
_SORT_NAMES: dict[Sort, str] = {
    "count": "count",
    "loss": "loss",
    "cost": "% of loss",
    "id": "id",
}
_GOTO = re.compile(r"(?:(line|window|step|token)\s+)?([\d,._ ]+)")
_PERCENT = re.compile(r"(\d{1,12}(?:[.,]\d{1,12})?)\s*%")
_LONGEST_SHOWN = 40

GoKind = Literal["token", "line", "window", "step", "percent"]


@dataclass(frozen=True)
class Goto:
    """Where to go: a number of something; lines and steps from 1, windows and tokens from 0.

    Attributes:
        number: A whole number, but of percent.
    """

    kind: GoKind
    number: int | float

    def check(self, split: str, *, total: int, window: int, lines: int | None, steps: int) -> None:
        """Refuse a place that there is not.

        Args:
            split: The split that is read.
            total: Its tokens.
            window: Tokens of a window.
            lines: Its lines; None = not counted yet.
            steps: Steps of the run.

        Raises:
            UsageError: There is no such place.
        """
        ends: dict[GoKind, tuple[str, int, int | None]] = {
            "token": (split, 0, total - 1),
            # A split shorter than a window is one.
            "window": (split, 0, max(1, total // window) - 1),
            "line": (split, 1, lines),
            "step": ("the run", 1, steps),
        }
        if self.kind not in ends:
            return
        where, first, last = ends[self.kind]
        if last is not None and not first <= self.number <= last:
            there = (
                f"{where} has {self.kind}s {first} to {last:,}"
                if last >= first
                else f"{where} has no {self.kind}s"
            )
            raise UsageError(f"There is no {self.kind} {self.number:,}: {there}.")

    def position(self, total: int, window: int) -> int:
        """Where the token is in a split.

        Args:
            total: Tokens of the split.
            window: Tokens of a window.
        """
        if self.kind == "percent":
            first = int(total * self.number / 100)
        elif self.kind == "window":
            first = int(self.number) * window
        else:
            first = int(self.number)
        return max(0, min(first, total - 1))


def parse_goto(text: str, default: GoKind) -> Goto:
    """What "line 12", "window 3", "step 100", "token 41216", "12.5%" or a number alone asks for.

    Args:
        text: As it was typed.
        default: What a number alone counts.

    Raises:
        UsageError: It is none of these.
    """
    if percent := _PERCENT.fullmatch(text.strip()):
        return Goto("percent", min(100.0, float(percent[1].replace(",", "."))))
    match = _GOTO.fullmatch(text.strip())
    number = typed_number(match[2]) if match else None
    if match is None or number is None:
        raise UsageError(
            f"'{shorten(visible_line(text), _LONGEST_SHOWN)}' is not a place.",
            "Type a number, or line 12, window 3, step 100, token 41216 or 12.5%.",
        )
    kinds: dict[str, GoKind] = {
        "line": "line",
        "window": "window",
        "step": "step",
        "token": "token",
    }
    return Goto(kinds.get(match[1] or "", default), number)


def searched_text(typed: str) -> str:
    r"""The text to find: \n and \t stand for a line break and a tab."""
    return typed.replace("\\n", "\n").replace("\\t", "\t")


def token_text(text: str) -> str:
    """A token as one piece of a line, with ⏎ for each line break."""
    return visible_line(text.replace("\n", LINE_BREAK))


def token_lines(tokens: Iterable[ShownToken], width: int) -> list[Line]:
    """Tokens with a sign on each border, broken into lines between two of them if possible."""
    lines: list[list[tuple[str, Tone]]] = [[]]
    used = 0
    for token in tokens:
        tone: Tone = "found" if token.is_found else "plain" if token.is_target else "masked"
        for piece in _pieces(token_text(token.text), max(1, width - 1)):
            size = cell_len(piece)
            if used and used + size + 1 > width:
                lines.append([])
                used = 0
            lines[-1].append((piece, tone))
            used += size
        lines[-1].append((BORDER, "border"))
        used += 1
    return [tuple(line) for line in lines]


def _pieces(text: str, width: int) -> Iterator[str]:
    """A text in parts of at most `width` cells."""
    part, used = "", 0
    for char in text:
        size = cell_len(char)
        if part and used + size > width:
            yield part
            part, used = "", 0
        part += char
        used += size
    yield part


def id_lines(tokens: Sequence[ShownToken], width: int) -> list[Line]:
    """The ids of tokens in columns of equal width."""
    if not tokens:
        return []
    size = max(len(str(token.token)) for token in tokens)
    columns = max(1, (width + 1) // (size + 1))
    return [
        (
            (
                " ".join(str(each.token).rjust(size) for each in tokens[first : first + columns]),
                "muted",
            ),
        )
        for first in range(0, len(tokens), columns)
    ]


def origin_text(shown: TokenWindow | StepBatch, count: int) -> str:
    """Where the first `count` of the tokens that are shown come from."""
    if isinstance(shown, StepBatch):
        return f"batch of step {shown.step:,}"
    return f"{shown.split} · tokens {shown.first:,}–{shown.first + count - 1:,}"


def window_title(window: TokenWindow) -> str:
    """Which tokens of which split."""
    last = window.first + len(window.tokens) - 1
    return f"{window.split} · tokens {window.first:,}–{last:,} of {window.total:,}"


def window_place(window: TokenWindow) -> str:
    """Line and document of its first token, once they are counted."""
    if window.line is None or window.part is None:
        return ""
    return f"line {window.line:,} · {window.unit} {window.part:,} of {window.parts:,}"


def batch_lines(rows: Sequence[BatchRow], width: int) -> list[Line]:
    """One line for each sequence: micro-batch and number, its text, and what is masked."""
    found: list[Line] = []
    several = any(row.micro_batch for row in rows)
    for number, row in enumerate(rows):
        head = f"{row.micro_batch}:{number:>3} " if several else f"{number:>3} "
        note = f" {row.masked} masked" if row.masked else ""
        space = max(1, width - len(head) - len(note))
        text = shorten("".join(token_text(each.text) for each in row.tokens), space)
        found.append(((head, "muted"), (text, "plain"), (note, "masked")))
    return found


def sort_text(sort: Sort, total: int) -> str:
    """How the vocabulary is sorted, and how much of it is listed."""
    shown = f"{min(total, MOST_ROWS):,} of {total:,}" if total > MOST_ROWS else f"{total:,}"
    return f"{shown} · by {_SORT_NAMES[sort]}"


_VOCABULARY = (8, 6, 7, 6, 7, 7, 10)
_TITLES = ("token", "id", "train", "share", "val", "loss", "% of loss")
# The column by which rows are sorted stays where others do not fit.
_SORTED: Mapping[Sort, int] = {"id": 1, "count": 2, "loss": 5, "cost": 6}


def vocabulary_head(width: int, sort: Sort = "count") -> str:
    """Titles of the columns."""
    return _columns(_TITLES, width, sort)


def vocabulary_lines(rows: Iterable[VocabularyRow], width: int, sort: Sort = "count") -> list[Line]:
    """One line for each token."""
    return [
        (
            (
                _columns(
                    (
                        f"“{token_text(row.text)}”",
                        str(row.token),
                        count_text(row.train),
                        percent_text(row.train_share),
                        count_text(row.val),
                        optional_text(row.loss, lambda loss: f"{loss:.2f}", UNKNOWN),
                        optional_text(row.cost, percent_text, UNKNOWN),
                    ),
                    width,
                    sort,
                ),
                "plain",
            ),
        )
        for row in rows
    ]


def _columns(cells: Sequence[str], width: int, sort: Sort) -> str:
    """Cells in columns; the first takes what the others leave, and the last may not fit."""
    shown = list(range(1, len(_VOCABULARY)))
    while len(shown) > 1 and _VOCABULARY[0] + sum(_VOCABULARY[n] + 1 for n in shown) > width:
        shown.remove(next(n for n in reversed(shown) if n != _SORTED[sort]))
    first = min(40, max(4, width - sum(_VOCABULARY[n] + 1 for n in shown)))
    name = shorten(cells[0], first)
    text = name + " " * (first - cell_len(name))
    return " ".join([text, *(cells[n].rjust(_VOCABULARY[n]) for n in shown)])


def shared_lines(lines: Iterable[SharedLine], width: int) -> list[Line]:
    """One line for each shared line: its length, how often, and its text."""
    found: list[Line] = []
    for line in lines:
        head = f"{line.characters:>5} {line.count:>4}× "
        text = shorten(visible_line(line.text), max(1, width - len(head)))
        found.append(((head, "muted"), (text, "plain")))
    return found


def hard_lines(
    windows: Iterable[HardWindow], preview: Callable[[HardWindow], str], width: int
) -> list[Line]:
    """One line for each window: its loss, its place and how it begins."""
    found: list[Line] = []
    for window in windows:
        head = f"{loss_text(window.loss):>7} {window.first:>11,} "
        text = shorten(token_text(preview(window)), max(1, width - len(head)))
        found.append(((head, "muted"), (text, "plain")))
    return found


def document_lines(split: str, statistics: SplitStatistics, width: int) -> Iterator[Line]:
    """Number and lengths of the documents of a split."""
    unit = statistics.unit
    yield (
        (f"{split} ", "muted"),
        (
            f"{counted(statistics.parts, unit)}, {counted(statistics.lines, 'line')}, "
            f"{counted(statistics.tokens, 'token')}",
            "plain",
        ),
    )
    if not statistics.parts:
        return
    longest = max(statistics.lengths)
    mean = statistics.tokens / statistics.parts
    yield (
        (
            f"  tokens of a {unit}: median {statistics.median_length():,}, mean {mean:,.0f}, "
            f"longest {longest:,}",
            "muted",
        ),
    )
    bars = statistics.histogram()
    most = max(count for _, _, count in bars)
    names = [f"{low:,}–{high:,}" if high > low else f"{low:,}" for low, high, _ in bars]
    size = max(map(len, names))
    room = max(4, min(_BAR, width - size - 14))
    for name, (_, _, count) in zip(names, bars, strict=True):
        bar = "█" * math.ceil(room * count / most)
        yield ((f"  {name:>{size}} ", "muted"), (bar, "bar"), (f" {count:,}", "plain"))


def overlap_lines(overlap: Overlap) -> Iterator[Line]:
    """What validation and training text have in common, in sentences."""
    shared = overlap.shared / max(1, overlap.val_lines)
    yield (
        (
            f"{overlap.shared:,} of {overlap.val_lines:,} validation lines "
            f"({percent_text(shared)}) stand in the training text, too "
            "(lines without text do not count)",
            "warning" if shared > _MUCH_SHARED else "plain",
        ),
    )
    for split, repeated, lines in (
        ("training", overlap.train_repeated, overlap.train_lines),
        ("validation", overlap.val_repeated, overlap.val_lines),
    ):
        share = percent_text(repeated / max(1, lines))
        yield (
            (f"{repeated:,} of {lines:,} {split} lines ({share}) repeat an earlier one", "plain"),
        )
    if not overlap.is_whole:
        yield ((f"Only the first {overlap.train_lines:,} training lines were compared.", "muted"),)
