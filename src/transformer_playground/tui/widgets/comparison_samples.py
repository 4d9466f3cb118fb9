"""The same prompt and seed to every compared run."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.timer import Timer

from transformer_playground.tui.state.sampling import Ask, Began, Drawing, Failed, Source, Update
from transformer_playground.tui.state.workspace import SLOTS
from transformer_playground.tui.widgets.sample_form import SampleForm
from transformer_playground.tui.widgets.sample_panes import SamplePanes

if TYPE_CHECKING:
    from transformer_playground.tui.app import Console

_TICK_SECONDS = 0.06


class ComparisonSamples(Vertical):
    """A form, and what each run writes."""

    def __init__(self) -> None:
        super().__init__(id="compare-samples", classes="compare-pane -roomy")
        self._sources: tuple[Source, ...] = ()
        self._titles: Sequence[Content] = ()
        self._drawing: Drawing | None = None
        self._n_loaded = 0

    def compose(self) -> ComposeResult:
        """The form above the texts."""
        yield SampleForm()
        yield SamplePanes()

    def on_mount(self) -> None:
        """Have a clock ready."""
        self._timer: Timer = self.set_interval(_TICK_SECONDS, self._tick, pause=True)

    def on_unmount(self) -> None:
        """Let the worker end."""
        self.stop()

    @property
    def form(self) -> SampleForm:
        """Prompt and settings."""
        return self.query_one(SampleForm)

    @property
    def panes(self) -> SamplePanes:
        """The texts."""
        return self.query_one(SamplePanes)

    @property
    def is_sampling(self) -> bool:
        """Whether samples are being drawn."""
        return self._drawing is not None

    def offer(self, titles: Mapping[str, Content], settings: Mapping[str, Any]) -> None:
        """Take over which runs to ask; what has been drawn stays while they are the same.

        Args:
            titles: Run id -> what to call it.
            settings: The first run's settings by dotted key, which fill empty fields.
        """
        # As `tp compare` asks: each run's newest or best checkpoint, as its settings have it.
        sources = tuple(Source(run_id) for run_id in list(titles)[:SLOTS])
        self._titles = list(titles.values())[:SLOTS]
        more = len(titles) - len(sources)
        words = [*self._titles, *([Content(f"and {more} more, not asked")] if more else [])]
        self.form.offer(Content("  ").join(words), settings, len(sources))
        if sources != self._sources:
            self._sources = sources
            self._forget()
            self.panes.clear(self._titles, "Enter in the prompt asks each of them.")

    def draw(self) -> None:
        """Ask every run what the form says."""
        problem = self.form.problem()
        if problem is not None:
            problem[1].focus()
            return
        if not self._sources:
            return
        self._forget()
        console = cast("Console", self.app)
        ask = Ask(
            self._sources,
            self.form.typed_prompt,
            self.form.options(),
            # The cores belong to the training that goes on.
            threads=1 if console.training.is_computing else None,
        )
        self.panes.clear(self._titles, "waiting …")
        self._drawing, self._n_loaded = Drawing(ask), 0
        body = partial(console.sampling.work, self._drawing)
        self.run_worker(body, group="sampling", thread=True, exit_on_error=False)
        self._timer.resume()
        self._tell_loading()
        self.screen.refresh_bindings()

    def stop(self) -> None:
        """End every sample before its next token."""
        if self._drawing is not None:
            self._drawing.stop()
            self.form.say("■ stopping …")

    def _forget(self) -> None:
        """Have nothing more to do with what is being drawn."""
        if self._drawing is not None:
            self._drawing.stop()
            self._drawing = None
            self._timer.pause()
        self.form.say("")

    def on_input_submitted(self) -> None:
        """Enter in any field draws."""
        self.draw()

    def _tick(self) -> None:
        drawing = self._drawing
        if drawing is None:
            return
        with self.app.batch_update():
            has_shown = drawing.hand_on(self._take)
            if drawing.is_done:
                self._end(drawing)
            elif has_shown and not drawing.is_stopping:
                self._tell_loading()

    def _take(self, updates: Sequence[Update]) -> None:
        self._n_loaded += sum(isinstance(update, Began | Failed) for update in updates)
        self.panes.take(updates)

    def _tell_loading(self) -> None:
        count = len(self._sources)
        if self._n_loaded < count:
            word = f"▶ loading {self._n_loaded + 1} of {count} …"
        else:
            word = f"▶ {self.panes.n_tokens:,} tokens"
        self.form.say(word, style="$accent")

    def _end(self, drawing: Drawing) -> None:
        self._drawing = None
        self._timer.pause()
        self.panes.end()
        tokens = self.panes.n_tokens
        glyph = "■ stopped:" if drawing.is_stopping else "✓"
        self.form.say(f"{glyph} {tokens:,} tokens" if tokens else "")
        self.screen.refresh_bindings()
