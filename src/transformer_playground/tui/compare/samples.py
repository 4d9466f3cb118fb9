"""Samples of compared runs: the same prompt and seed for each of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.core.workspace import SLOTS
from transformer_playground.tui.sample.form import SampleForm
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.sample.runner import SampleRunner


class ComparisonSamples(Vertical):
    """A form, and the samples of each run."""

    def __init__(self) -> None:
        super().__init__(id="compare-samples", classes="compare-pane -roomy")
        self._sources: tuple[Source, ...] = ()
        self._titles: Sequence[Content] = ()
        self._runner = SampleRunner(self)

    def compose(self) -> ComposeResult:
        """The form above the texts."""
        yield SampleForm()
        yield SamplePanes()

    def on_unmount(self) -> None:
        """Let the worker end."""
        self._runner.close()

    @property
    def form(self) -> SampleForm:
        """Prompt and settings."""
        return self._runner.form

    @property
    def panes(self) -> SamplePanes:
        """The texts."""
        return self._runner.panes

    @property
    def is_sampling(self) -> bool:
        """Whether samples are being drawn."""
        return self._runner.is_running

    def offer(self, titles: Mapping[str, Content], settings: Mapping[str, Any]) -> None:
        """Take over which runs to sample; what was drawn stays while they are the same.

        Args:
            titles: Run id -> what to call it.
            settings: The first run's settings by dotted key, which fill empty fields.
        """
        # As `tp compare` does: each run's newest or best checkpoint, as its settings have it.
        sources = tuple(Source(run_id) for run_id in list(titles)[:SLOTS])
        self._titles = list(titles.values())[:SLOTS]
        more = len(titles) - len(sources)
        words = [*self._titles, *([Content(f"and {more} more, not sampled")] if more else [])]
        self.form.offer(Content("  ").join(words), settings, len(sources))
        if sources != self._sources:
            self._sources = sources
            self._runner.discard()
            self.panes.clear(self._titles, "Enter in the prompt samples each of them.")

    def draw(self) -> None:
        """Sample every run as the form says."""
        if self._sources:
            self._runner.start(self._sources, self._titles)

    def stop(self) -> None:
        """End every sample before its next token."""
        self._runner.stop()

    def on_input_submitted(self) -> None:
        """Enter in any field samples."""
        self.draw()
