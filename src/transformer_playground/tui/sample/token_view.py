"""Token view: sample text with a token cursor and colours of probability."""

import itertools
import math
import operator
from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Static

from transformer_playground.formatting import percent_text
from transformer_playground.generation.samples import SampledToken
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.sample.transcript import LEVELS, Place, Transcript, level
from transformer_playground.tui.shared.flow import PLAIN, PROMPT, Flow, Row
from transformer_playground.tui.shared.text import LINE_BREAK

_BASE = ""
_MUTED = "$text-muted"
_LEGEND = "probability before temperature and filters"
_ALTERNATIVES = Content.styled("most likely", _MUTED)


class TokenView(ScrollView, can_focus=True, inherit_bindings=False):
    """The samples of one checkpoint.

    Follows new text only while it is scrolled to the end.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "token--prompt",
        "token--plain",
        "token--problem",
        "token--pointed",
        "token--break",
        "token--copied",
        *(f"token--{number}" for number in range(len(LEVELS) + 1)),
    }

    colours: reactive[bool] = reactive(False)
    cursor: reactive[Place | None] = reactive(None)

    class CursorMoved(Message):
        """The token cursor moved or was cleared."""

        def __init__(self, view: "TokenView") -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> "TokenView":
            return self.view

    def __init__(self, id: str) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id, classes="pane")
        self.transcript: Transcript | None = None
        self._note, self.has_problem = "", False
        self._note_lines = Flow(1)
        self._styles: dict[str, Style] = {}
        # Tokens of each sample that stand in the training text.
        self._copied: Mapping[int, range] = {}

    def show_note(self, note: str, *, problem: bool = False) -> None:
        self._note, self.has_problem = visible(note), problem
        self._wrap_note()
        self.grow()

    def mark_copied(self, copied: Mapping[int, range]) -> None:
        """Mark tokens, by the number of their sample."""
        self._copied = copied
        self.refresh()

    def show(self, transcript: Transcript | None) -> None:
        """Replace the transcript and scroll to its start."""
        self.transcript = transcript
        self.cursor = None
        self._copied = {}
        self._note, self.has_problem = "", False
        self._wrap()
        self.scroll_to(y=0, animate=False, immediate=True)
        self.grow()

    @property
    def text_width(self) -> int:
        """Cells of a row; one more is left for overhanging spaces."""
        return max(1, self.scrollable_content_region.width - 1)

    def grow(self) -> None:
        """Update the layout after tokens were added to the transcript."""
        at_end = self.scroll_offset.y >= self.max_scroll_y
        if self.transcript is not None:
            self.transcript.arrange()
        self.virtual_size = Size(self.text_width, self._n_rows)
        if at_end:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)
        self.refresh()

    def point(self, by: int) -> None:
        if self.transcript is not None:
            self.go_to(self.transcript.neighbour(self.cursor, by))

    def go_to(self, place: Place | None) -> None:
        """Put the cursor on a token, and show it."""
        if self.transcript is None:
            return
        self.cursor = place
        row = self.transcript.row_of(place) if place else None
        if row is not None:
            self._show_row(row)

    def step(self, by: float) -> None:
        if math.isinf(by):
            target = self.max_scroll_y if by > 0 else 0
        else:
            target = int(self.scroll_offset.y + by)
        self.scroll_to(y=target, animate=False, immediate=True)

    def watch_colours(self) -> None:
        self.refresh()

    def watch_cursor(self) -> None:
        self.refresh()
        self.post_message(self.CursorMoved(self))

    def on_resize(self) -> None:
        self._wrap()
        self.grow()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and self.transcript is not None:
            self.cursor = self.transcript.at(offset.y + self.scroll_offset.y, offset.x)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        strip = Strip(self._segments(y + self.scroll_offset.y))
        return strip.crop_extend(0, width, self._style(_BASE))

    def _segments(self, row: int) -> list[Segment]:
        transcript = self.transcript
        text_rows = transcript.n_rows if transcript else 0
        if transcript is not None and row < text_rows:
            sample, runs = transcript.row(row)
            runs = _without_break(runs)
            names = [
                self._style_name(transcript, sample, token, is_break=text == LINE_BREAK)
                for token, text in runs
            ]
        elif self._note and row - text_rows < len(self._note_lines):
            runs = self._note_lines[row - text_rows]
            names = ["token--problem" if self.has_problem else "token--plain"] * len(runs)
        else:
            return []
        # One segment per style, because each segment makes the terminal change the style.
        alike = itertools.groupby(zip(names, runs, strict=True), key=operator.itemgetter(0))
        return [
            Segment("".join(text for _, (_, text) in group), self._style(name))
            for name, group in alike
        ]

    def _style_name(
        self, transcript: Transcript, sample: int, token: int, *, is_break: bool
    ) -> str:
        cursor = self.cursor
        if token == PROMPT:
            return "token--prompt"
        if token == PLAIN:
            return "token--plain"
        if cursor is not None and cursor.token == token and cursor.sample == sample:
            return "token--pointed"
        if token in self._copied.get(sample, ()):
            return "token--copied"
        if is_break:
            return "token--break"
        if not self.colours:
            return _BASE
        return f"token--{level(transcript.token(Place(sample, token)).logprob)}"

    def _style(self, name: str) -> Style:
        style = self._styles.get(name)
        if style is None:
            # Cached, because Textual computes it again for every call, which dominates rendering.
            style = self.get_component_rich_style(name) if name else self.rich_style
            self._styles[name] = style
        return style

    @property
    def _n_rows(self) -> int:
        rows = self.transcript.n_rows if self.transcript else 0
        return rows + (len(self._note_lines) if self._note else 0)

    def _wrap(self) -> None:
        if self.transcript is not None:
            self.transcript.wrap(self.text_width)
        self._wrap_note()

    def _wrap_note(self) -> None:
        self._note_lines = Flow(self.text_width)
        self._note_lines.push(PLAIN, self._note)

    def _show_row(self, row: int) -> None:
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if row < top:
            self.step(row - top)
        elif row >= top + height:
            self.step(row - top - height + 1)


class TokenDetail(Static):
    """Two lines below the text: the token under the cursor with its alternatives, or the legend."""

    def __init__(self) -> None:
        super().__init__(id="token-detail", markup=False)
        self.display = False

    def show_token(
        self, token: SampledToken | None, text_of: Callable[[int], str], *, colours: bool
    ) -> None:
        """Show a token and the most likely alternatives at its position.

        Args:
            text_of: Text of a token id, untrusted.
            colours: Whether to show the legend while there is no token.
        """
        self.display = token is not None or colours
        if token is None:
            self.update(legend() if colours else "")
            return
        heading = Content.assemble(
            (f"token {token.position + 1:,}  ", _MUTED),
            _quoted(text_of(token.id)),
            (f" {percent_text(math.exp(token.logprob))}", "bold"),
            (f"  {_LEGEND}", _MUTED),
        )
        alternatives = [
            Content.assemble(
                _quoted(text_of(each.id)),
                f" {percent_text(math.exp(each.logprob))}",
            ).stylize("bold underline" if each.id == token.id else "")
            for each in token.alternatives
        ]
        self.update(
            Content("\n").join([heading, Content("  ").join([_ALTERNATIVES, *alternatives])])
        )


def legend() -> Content:
    """Legend of the probability colours."""
    names = [f"≥{percent_text(least)}" for least in LEVELS] + [f"<{percent_text(LEVELS[-1])}"]
    swatches = [Content.styled(name, style) for name, style in zip(names, STYLES, strict=True)]
    return Content("  ").join([*swatches, Content.styled(_LEGEND, _MUTED)])


STYLES = (
    "$foreground 66%",
    "$foreground 76%",
    "$foreground 86%",
    "bold $foreground",
    "bold underline $foreground",
)
"""Style of each level, as in the stylesheet: the less likely a token, the brighter it is."""


def _without_break(runs: Row) -> Row:
    """The runs of a row with the line break at its end as a run of its own."""
    token, text = runs[-1] if runs else (PLAIN, "")
    if token < 0 or not text.endswith(LINE_BREAK) or text == LINE_BREAK:
        return runs
    return [*runs[:-1], (token, text.removesuffix(LINE_BREAK)), (token, LINE_BREAK)]


def _quoted(text: str) -> Content:
    return Content(f"“{visible_line(text)}”")
