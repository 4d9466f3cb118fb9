"""Samples in the comparison: drawn now with one prompt and seed, and drawn during training."""

from collections.abc import Mapping, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for, key_hint
from transformer_playground.tui.compare.service import SampleTrack, move_step, steps_of
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.core.sampling import MOST_SOURCES, Source
from transformer_playground.tui.sample.form import SampleForm
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.sample.runner import SampleRunner

_MUTED = "$text-muted"
_SHORTEST_BAR, _LONGEST_BAR = 4, 40
# Of one text with its borders.
_LEAST_LINES = 5
# A sample file can hold any amount of text.
_MAX_CHARACTERS = 20_000


class ComparisonSamples(Vertical):
    """A form, and samples of each run for the same prompt and seed."""

    def __init__(self) -> None:
        super().__init__(id="compare-samples", classes="compare-pane -roomy")
        self._sources: tuple[Source, ...] = ()
        self._titles: Sequence[Content] = ()
        self._runner = SampleRunner(self)

    def compose(self) -> ComposeResult:
        yield SampleForm("compare")
        yield SamplePanes()

    def on_unmount(self) -> None:
        self._runner.close()

    @property
    def form(self) -> SampleForm:
        return self._runner.form

    @property
    def panes(self) -> SamplePanes:
        return self._runner.panes

    @property
    def is_sampling(self) -> bool:
        return self._runner.is_running

    def set_runs(self, titles: Mapping[str, Content], settings: Mapping[str, Any]) -> None:
        """Set the runs to sample from; samples stay on screen while the runs are the same.

        Args:
            settings: Settings of the first run by dotted key, for empty fields.
        """
        # As in `tp compare`: the checkpoint that the settings of each run select.
        sources = tuple(Source(run_id) for run_id in list(titles)[:MOST_SOURCES])
        self._titles = list(titles.values())[:MOST_SOURCES]
        more = len(titles) - len(sources)
        text = [*self._titles, *([Content(f"and {more} more, not sampled")] if more else [])]
        self.form.show_source(Content("  ").join(text), settings, len(sources))
        if sources == self._sources:
            self.panes.retitle(self._titles)
        else:
            self._sources = sources
            self._runner.discard()
            prompt = key_hint("compare.prompt", context_of(self).keymap)
            self.panes.clear(
                self._titles, f"Type a prompt ({prompt}); Enter samples from all runs."
            )

    def draw(self) -> None:
        if self._sources:
            self._runner.start(self._sources, self._titles)

    def stop(self) -> None:
        self._runner.stop()

    def on_input_submitted(self) -> None:
        self.draw()


class SampleText(VerticalScroll, can_focus=True, inherit_bindings=False):
    """The texts of one run."""

    def __init__(self) -> None:
        super().__init__(classes="pane")

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, content: Content) -> None:
        self.query_one(Static).update(content)


class TrainingSamples(Vertical):
    """Samples of one training step; each run shows its newest samples up to that step."""

    BINDINGS = bindings_for("scrub")

    def __init__(self) -> None:
        super().__init__(id="compare-training", classes="compare-pane")
        self._tracks: Mapping[str, SampleTrack] = {}
        self._titles: Mapping[str, Content] = {}
        self._left_out = 0
        # None follows the newest step.
        self._step: int | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="compare-scrubber", markup=False)
        with Container(id="compare-training-texts"):
            for _ in range(MOST_SOURCES):
                yield SampleText()

    @property
    def step(self) -> int | None:
        return move_step(self._steps, self._step, 0)

    @property
    def _steps(self) -> tuple[int, ...]:
        return steps_of(self._tracks.values())

    def show(self, tracks: Mapping[str, SampleTrack], titles: Mapping[str, Content]) -> None:
        """Show these runs, as many as fit, at the current step."""
        self._tracks, self._titles = tracks, titles
        self._refresh()

    def on_resize(self) -> None:
        self._refresh()

    def action_scrub(self, by: int) -> None:
        """Go to another step; the last step follows new samples."""
        steps = self._steps
        self._step = move_step(steps, self._step, by)
        if steps and self._step == steps[-1]:
            self._step = None
        self._refresh()

    def action_end(self, by: int) -> None:
        self.action_scrub(by * len(self._steps))

    def action_scroll_text(self, by: int) -> None:
        for pane in self.query(SampleText):
            pane.scroll_relative(y=by, animate=False)

    def _refresh(self) -> None:
        space = self.query_one("#compare-training-texts").size.height
        fitting = min(MOST_SOURCES, max(1, space // _LEAST_LINES)) if space else MOST_SOURCES
        # Without any samples the line above says so; it needs no panes.
        runs = list(self._tracks)[:fitting] if self._steps else []
        self.set_class(not self._steps, "-bare")
        self._left_out = max(0, len(self._tracks) - fitting)
        self.query_one("#compare-scrubber", Static).update(self._scrubber())
        for number, pane in enumerate(self.query(SampleText)):
            pane.display = number < len(runs)
            if pane.display:
                self._show(pane, runs[number])

    def _show(self, pane: SampleText, run_id: str) -> None:
        step = self.step
        drawn = None if step is None else self._tracks[run_id].at(step)
        pane.border_title = self._titles[run_id]
        if drawn is None:
            pane.border_subtitle = ""
            none_at_all = not self._tracks[run_id].drawn
            text = "No samples during training." if none_at_all else "No sample yet."
            pane.show(Content.styled(text, _MUTED))
            return
        pane.border_subtitle = Content(f"step {drawn.step:,}")
        texts = "\n\n".join(drawn.texts)
        cut = texts[:_MAX_CHARACTERS] + (" …" if len(texts) > _MAX_CHARACTERS else "")
        pane.show(Content(visible(cut)))

    def _scrubber(self) -> Content:
        steps, step = self._steps, self.step
        if step is None:
            return Content.styled("None of these runs drew samples during training.", _MUTED)
        index = steps.index(step)
        left_out = f" · {self._left_out} more not shown" if self._left_out else ""
        keymap = context_of(self).keymap
        keys = f" · {key_hint('scrub.earlier', keymap)} {key_hint('scrub.later', keymap)}"
        before = f"{step:>{len(f'{steps[-1]:,}')},} "
        after = f" {index + 1} of {len(steps)}"
        # Where space is short, the bar goes on, and the hints are left out.
        space = self.query_one("#compare-scrubber").content_size.width - len(
            f"step {before}{after}"
        )
        for hint in (keys, left_out):
            if space - len(hint) >= _SHORTEST_BAR:
                after, space = after + hint, space - len(hint)
        length = min(max(0, space), _LONGEST_BAR)
        at = round(index / max(1, len(steps) - 1) * (length - 1))
        bar = (("━" * at, "$primary"), ("●", "$primary"), ("─" * (length - 1 - at), _MUTED))
        return Content.assemble(
            ("step ", _MUTED), before, *(bar if length > 1 else ()), (after, _MUTED)
        )
