"""Panes of the Data view: the tokens of a window, and lists with one line for each entry."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from transformer_playground.dataset_views.reading import ShownToken
from transformer_playground.terminal import visible_line
from transformer_playground.tui.data.data_state import Line, Tone, id_lines, token_lines
from transformer_playground.tui.shared.view import styled_lines

Writer = Callable[[int], Iterable[Line]]
"""Writes lines for a number of columns."""

_LEAST_WIDTH = 24
# Entries of a list that are added at once, about as many as a screen holds.
_AT_ONCE = 60
STYLES: Mapping[Tone, str] = {
    "plain": "$foreground",
    "muted": "$text-muted",
    "border": "$primary",
    "masked": "italic $text-muted",
    "found": "bold reverse",
    "bar": "$secondary",
    "warning": "$warning",
}


class TextPane(VerticalScroll):
    """The tokens of a window with their borders, then their ids."""

    def __init__(self) -> None:
        super().__init__(id="data-text", classes="pane data-pane")
        self._tokens: Sequence[ShownToken] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="data-tokens", markup=False)

    def show(self, tokens: Sequence[ShownToken], title: str, place: str) -> None:
        """Show other tokens, from their start."""
        self._tokens = tokens
        self.border_title = Content(visible_line(title))
        self.border_subtitle = Content(visible_line(place))
        self._draw()
        self.scroll_home(animate=False)

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        # A scroll bar may appear with the lines.
        width = max(8, self.content_size.width - 1)
        lines = [*token_lines(self._tokens, width), (), *id_lines(self._tokens, width)]
        self.query_one("#data-tokens", Static).update(styled_lines(lines, STYLES))


class SentencePane(VerticalScroll):
    """Lines to read, such as counts and a histogram, drawn again for another width."""

    def __init__(self, name: str) -> None:
        super().__init__(id=f"data-{name}", classes="pane data-pane")
        self._write: Writer | None = None

    def compose(self) -> ComposeResult:
        yield Static(id=f"{self.id}-text", markup=False)

    def show(self, write: Writer, title: str) -> None:
        """Show what is written for the width of the pane."""
        self._write = write
        self.border_title = Content(visible_line(title))
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._write is not None:
            # A scroll bar may appear with the lines.
            width = max(_LEAST_WIDTH, self.content_size.width - 1)
            self.query_one(Static).update(styled_lines(self._write(width), STYLES))


class ListPane(Vertical):
    """A list below a line with the titles of its columns, drawn again for another width.

    A thousand entries take long to draw. They are added a screenful at a time, so that no key waits
    for all of them, and a hidden list is drawn when it is shown.
    """

    def __init__(self, name: str) -> None:
        super().__init__(id=f"data-{name}", classes="pane data-pane")
        self._write: Writer | None = None
        self._head: Callable[[int], str] = lambda _: ""
        # None: what is drawn is not what is to be shown.
        self._drawn_width: int | None = None
        # Entries that are not added yet.
        self._rest: Iterator[Line] = iter(())

    def compose(self) -> ComposeResult:
        yield Static(id=f"{self.id}-head", classes="data-head", markup=False)
        yield OptionList(id=f"{self.id}-list", classes="data-list", markup=False, compact=True)

    def show(self, write: Writer, head: Callable[[int], str], title: str) -> None:
        """Show the entries that are written for the width of the pane, below their titles."""
        self._write, self._head, self._drawn_width = write, head, None
        self.border_title = Content(visible_line(title))
        self._draw()

    def say(self, sentence: str, title: str) -> None:
        """Show a sentence in place of entries."""
        self.show(lambda _: (), lambda _: sentence, title)

    def on_resize(self) -> None:
        if self._width != self._drawn_width:
            self._draw()

    @property
    def _width(self) -> int:
        # A scroll bar may appear with the entries.
        return max(_LEAST_WIDTH, self.content_size.width - 2)

    def _draw(self) -> None:
        if self._write is None or not self.display:
            return
        width = self._drawn_width = self._width
        self.query_one(".data-head", Static).update(Content(visible_line(self._head(width))))
        options = self.query_one(OptionList)
        before = options.highlighted or 0
        options.clear_options()
        self._rest = iter(self._write(width))
        self._add(before + _AT_ONCE)
        if options.option_count:
            options.highlighted = min(before, options.option_count - 1)
        self.call_after_refresh(self._add_rest, self._rest)

    def _add(self, count: int) -> bool:
        """Add so many entries; returns whether there are more."""
        lines = list(islice(self._rest, count))
        options = self.query_one(OptionList)
        options.add_options(Option(styled_lines([line], STYLES)) for line in lines)
        return len(lines) == count

    def _add_rest(self, rest: Iterator[Line]) -> None:
        # Others may be shown by now.
        if rest is self._rest and self._add(_AT_ONCE):
            self.call_after_refresh(self._add_rest, rest)
