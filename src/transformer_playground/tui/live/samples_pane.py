"""What a run wrote as it trained: the newest samples, or those of an earlier step."""

from itertools import groupby

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from transformer_playground.tui.live.follower import SampleText

_MUTED = "$foreground 60%"
_EMPTY = "no samples yet"


class SamplesFeed(VerticalScroll):
    """Samples of one step; follows the newest until the reader looks at earlier ones."""

    def __init__(self) -> None:
        super().__init__(id="live-samples", classes="pane")
        self._steps: tuple[tuple[int, tuple[SampleText, ...]], ...] = ()
        self._taken: tuple[SampleText, ...] | None = None
        self._at: int | None = None
        self._drawn: tuple[SampleText, ...] | None = None

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static(_EMPTY, id="live-sample-text", markup=False)

    def on_mount(self) -> None:
        """Begin with nothing."""
        self._show()

    def take(self, samples: tuple[SampleText, ...]) -> None:
        """Show the samples of a run, oldest first."""
        if samples is self._taken:
            return
        self._taken = samples
        # Of samples drawn twice at a step (asked for by hand) all are shown.
        ordered = sorted(samples, key=lambda each: each.step)
        self._steps = tuple(
            (step, tuple(texts)) for step, texts in groupby(ordered, key=lambda each: each.step)
        )
        self._show()

    def follow(self) -> None:
        """Show the newest from now on."""
        self._at = None

    def scrub(self, by: int) -> None:
        """Go to the samples of the step before, or of the next one; at the last, follow."""
        if not self._steps:
            return
        target = min(max(0, self._index + by), len(self._steps) - 1)
        self._at = None if target == len(self._steps) - 1 else self._steps[target][0]
        self._show()

    @property
    def _index(self) -> int:
        known = [step for step, _ in self._steps]
        return known.index(self._at) if self._at in known else len(known) - 1

    def _show(self) -> None:
        if not self._steps:
            self.border_title = "samples"
            self._draw(())
            return
        index = self._index
        step, texts = self._steps[index]
        at_end = index == len(self._steps) - 1
        place = "newest" if at_end else f"{index + 1} of {len(self._steps)}"
        self.border_title = Content(f"samples · step {step:,} · {place}")
        self._draw(texts)

    def _draw(self, texts: tuple[SampleText, ...]) -> None:
        if texts == self._drawn:
            return
        self._drawn = texts
        parts = [_text(each) for each in texts]
        text = Content.assemble(("\n╌╌╌\n", _MUTED)).join(parts) if parts else Content(_EMPTY)
        self.query_one("#live-sample-text", Static).update(text)
        self.scroll_home(animate=False)


def _text(sample: SampleText) -> Content:
    """Prompt and text, without the empty lines at the start that many of them have."""
    prompt = sample.prompt.lstrip("\n")
    text = sample.text if prompt else sample.text.lstrip("\n")
    return Content.assemble((prompt, _MUTED), text)
