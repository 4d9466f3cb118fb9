"""Panes of the Data view: the tokens of a window, and lists with one line for each entry."""

from collections.abc import Iterable, Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from transformer_playground.dataset_views.reading import ShownToken
from transformer_playground.terminal import visible_line
from transformer_playground.tui.data.data_state import Line, Tone, id_lines, token_lines

STYLES: Mapping[Tone, str] = {
    "plain": "$foreground",
    "muted": "$text-muted",
    "border": "$primary",
    "masked": "italic $text-muted",
    "found": "bold reverse",
    "bar": "$secondary",
    "warning": "$warning",
}


def content_of(lines: Iterable[Line]) -> Content:
    """Lines in the styles of their tones."""
    return Content("\n").join(
        Content.assemble(*((text, STYLES[tone]) for text, tone in line)) for line in lines
    )


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
        width = max(8, self.scrollable_content_region.width)
        lines = [*token_lines(self._tokens, width), (), *id_lines(self._tokens, width)]
        self.query_one("#data-tokens", Static).update(content_of(lines))


class SentencePane(VerticalScroll):
    """Lines to read, such as counts and a histogram."""

    def __init__(self, name: str) -> None:
        super().__init__(id=f"data-{name}", classes="pane data-pane")

    def compose(self) -> ComposeResult:
        yield Static(id=f"{self.id}-text", markup=False)

    def show(self, lines: Iterable[Line], title: str) -> None:
        """Show other lines."""
        self.border_title = Content(visible_line(title))
        self.query_one(Static).update(content_of(lines))


class ListPane(Vertical):
    """A list below a line with the titles of its columns, or a sentence while it is empty."""

    def __init__(self, name: str) -> None:
        super().__init__(id=f"data-{name}", classes="pane data-pane")

    def compose(self) -> ComposeResult:
        yield Static(id=f"{self.id}-head", classes="data-head", markup=False)
        yield OptionList(id=f"{self.id}-list", classes="data-list", markup=False, compact=True)

    def show(self, lines: Sequence[Line], head: str, title: str) -> None:
        """Show other entries; the highlighted place stays."""
        self.border_title = Content(visible_line(title))
        self.query_one(".data-head", Static).update(Content(visible_line(head)))
        options = self.query_one(OptionList)
        before = options.highlighted
        options.clear_options()
        options.add_options(Option(content_of([line])) for line in lines)
        if lines:
            options.highlighted = min(before or 0, len(lines) - 1)

    @property
    def width(self) -> int:
        """Columns of a line."""
        # A scroll bar may appear with the entries.
        return max(24, self.content_size.width - 2)
