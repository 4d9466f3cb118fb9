"""Drawn text, token by token: as it comes, in colours of probability, with a token to point at."""

import itertools
import math
import operator
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from transformer_playground.terminal import visible
from transformer_playground.tui.sample.transcript import (
    LEVELS,
    PLAIN,
    PROMPT,
    Flow,
    Place,
    Transcript,
    level,
)

_BASE = ""


class TokenView(ScrollView, can_focus=True, inherit_bindings=False):
    """The samples of one checkpoint.

    Follows the end of the text only while the reader is there.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "token--prompt",
        "token--plain",
        "token--problem",
        "token--pointed",
        *(f"token--{number}" for number in range(len(LEVELS) + 1)),
    }

    colours: reactive[bool] = reactive(False)
    pointed: reactive[Place | None] = reactive(None)

    class Pointed(Message):
        """Another token is pointed at, or none."""

        def __init__(self, view: "TokenView") -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> "TokenView":
            """The view with the token."""
            return self.view

    def __init__(self, id: str) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id, classes="pane")
        self.transcript: Transcript | None = None
        self._remark, self._is_problem = "", False
        self._remark_flow = Flow(1)
        self._looks: dict[str, Style] = {}

    def say(self, remark: str, *, problem: bool = False) -> None:
        """Show a remark below the text; untrusted text."""
        self._remark, self._is_problem = visible(remark), problem
        self._wrap_remark()
        self.grow()

    def show(self, transcript: Transcript | None) -> None:
        """Show other text, from its start."""
        self.transcript = transcript
        self.pointed = None
        self._remark, self._is_problem = "", False
        self._wrap()
        self.scroll_to(y=0, animate=False, immediate=True)
        self.grow()

    @property
    def has_problem(self) -> bool:
        """Whether the remark tells what went wrong."""
        return self._is_problem

    @property
    def text_width(self) -> int:
        """Cells of a row; one is kept free for what hangs out."""
        return max(1, self.scrollable_content_region.width - 1)

    def grow(self) -> None:
        """Take in what has been added to the transcript."""
        at_end = self.scroll_offset.y >= self.max_scroll_y
        if self.transcript is not None:
            self.transcript.arrange()
        self.virtual_size = Size(self.text_width, self._n_rows)
        if at_end:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)
        self.refresh()

    def point(self, by: int) -> None:
        """Point at the token `by` further on."""
        if self.transcript is None:
            return
        self.pointed = self.transcript.neighbour(self.pointed, by)
        row = self.transcript.row_of(self.pointed) if self.pointed else None
        if row is not None:
            self._show_row(row)

    def step(self, by: float) -> None:
        """Scroll by rows; infinity leads to an end."""
        if math.isinf(by):
            target = self.max_scroll_y if by > 0 else 0
        else:
            target = int(self.scroll_offset.y + by)
        self.scroll_to(y=target, animate=False, immediate=True)

    def watch_colours(self) -> None:
        """Draw anew."""
        self.refresh()

    def watch_pointed(self) -> None:
        """Draw anew, and tell."""
        self.refresh()
        self.post_message(self.Pointed(self))

    def on_resize(self) -> None:
        """Wrap the text to the new width."""
        self._wrap()
        self.grow()

    def on_click(self, event: events.Click) -> None:
        """Point at the token that was clicked."""
        offset = event.get_content_offset(self)
        if offset is not None and self.transcript is not None:
            place = self.transcript.at(offset.y + self.scroll_offset.y, offset.x)
            self.pointed = place

    def notify_style_update(self) -> None:
        """Look styles up anew: theme, focus or classes have changed."""
        super().notify_style_update()
        self._looks.clear()

    def render_line(self, y: int) -> Strip:
        """One row of text."""
        width = self.scrollable_content_region.width
        strip = Strip(self._segments(y + self.scroll_offset.y))
        return strip.crop_extend(0, width, self._look(_BASE))

    def _segments(self, row: int) -> list[Segment]:
        transcript = self.transcript
        text_rows = transcript.n_rows if transcript else 0
        if transcript is not None and row < text_rows:
            sample, runs = transcript.row(row)
            names = [self._look_name(transcript, sample, token) for token, _ in runs]
        elif self._remark and row - text_rows < len(self._remark_flow):
            runs = self._remark_flow[row - text_rows]
            names = ["token--problem" if self._is_problem else "token--plain"] * len(runs)
        else:
            return []
        # Few and long ones: each costs the terminal a change of style.
        alike = itertools.groupby(zip(names, runs, strict=True), key=operator.itemgetter(0))
        return [
            Segment("".join(text for _, (_, text) in group), self._look(name))
            for name, group in alike
        ]

    def _look_name(self, transcript: Transcript, sample: int, token: int) -> str:
        pointed = self.pointed
        if token == PROMPT:
            return "token--prompt"
        if token == PLAIN:
            return "token--plain"
        if pointed is not None and pointed.token == token and pointed.sample == sample:
            return "token--pointed"
        if not self.colours:
            return _BASE
        return f"token--{level(transcript.token(Place(sample, token)).logprob)}"

    def _look(self, name: str) -> Style:
        style = self._looks.get(name)
        if style is None:
            # Textual computes it anew each time, which takes longer than all the rest.
            style = self.get_component_rich_style(name) if name else self.rich_style
            self._looks[name] = style
        return style

    @property
    def _n_rows(self) -> int:
        rows = self.transcript.n_rows if self.transcript else 0
        return rows + (len(self._remark_flow) if self._remark else 0)

    def _wrap(self) -> None:
        if self.transcript is not None:
            self.transcript.wrap(self.text_width)
        self._wrap_remark()

    def _wrap_remark(self) -> None:
        self._remark_flow = Flow(self.text_width)
        self._remark_flow.push(PLAIN, self._remark)

    def _show_row(self, row: int) -> None:
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if row < top:
            self.step(row - top)
        elif row >= top + height:
            self.step(row - top - height + 1)
