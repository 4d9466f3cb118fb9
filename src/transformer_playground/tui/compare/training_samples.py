"""What runs wrote while they trained, side by side at one step."""

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.compare.service import SampleTrack, moved, steps_of
from transformer_playground.tui.core.workspace import SLOTS

_MUTED = "$foreground 60%"
_SHORTEST_BAR, _LONGEST_BAR = 6, 40
# What stands beside the bar.
_WORDS = 30
# A hostile file can hold any amount; nobody scrolls further.
_LONGEST = 20_000


class SampleText(VerticalScroll, can_focus=True, inherit_bindings=False):
    """The texts of one run."""

    def __init__(self) -> None:
        super().__init__(classes="pane")

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static(markup=False)

    def show(self, content: Content) -> None:
        """Show a text."""
        self.query_one(Static).update(content)


class TrainingSamples(Vertical):
    """Goes through the steps at which runs drew samples; each run shows its newest until there."""

    BINDINGS = bindings_for("scrub")

    def __init__(self) -> None:
        super().__init__(id="compare-training", classes="compare-pane")
        self._tracks: Mapping[str, SampleTrack] = {}
        self._titles: Mapping[str, Content] = {}
        # None follows the newest step.
        self._step: int | None = None

    def compose(self) -> ComposeResult:
        """Where one is, and a pane for each run that can be shown."""
        yield Static(id="compare-scrubber", markup=False)
        with Container(id="compare-training-texts"):
            for _ in range(SLOTS):
                yield SampleText()

    @property
    def step(self) -> int | None:
        """The step on show."""
        return moved(self._steps, self._step, 0)

    @property
    def _steps(self) -> tuple[int, ...]:
        return steps_of(self._tracks.values())

    def show(self, tracks: Mapping[str, SampleTrack], titles: Mapping[str, Content]) -> None:
        """Show these runs, as many as there is room for, at the step of before."""
        self._tracks = dict(list(tracks.items())[:SLOTS])
        self._titles = titles
        self._left_out = len(tracks) - len(self._tracks)
        self._refresh()

    def on_resize(self) -> None:
        """Use the room there is."""
        self._refresh()

    def action_scrub(self, by: int) -> None:
        """Go to another step; at the last one new samples are followed."""
        steps = self._steps
        self._step = moved(steps, self._step, by)
        if steps and self._step == steps[-1]:
            self._step = None
        self._refresh()

    def action_end(self, by: int) -> None:
        """Go to the first step, or to the last one."""
        self.action_scrub(by * len(self._steps))

    def action_scroll_text(self, by: int) -> None:
        """Scroll all texts by lines."""
        for pane in self.query(SampleText):
            pane.scroll_relative(y=by, animate=False)

    def _refresh(self) -> None:
        self.query_one("#compare-scrubber", Static).update(self._scrubber())
        runs = list(self._tracks)
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
            words = "It drew no samples while it trained." if none_at_all else "No sample yet."
            pane.show(Content.styled(words, _MUTED))
            return
        pane.border_subtitle = Content(f"step {drawn.step:,}")
        texts = "\n\n".join(drawn.texts)
        cut = texts[:_LONGEST] + (" …" if len(texts) > _LONGEST else "")
        pane.show(Content(visible(cut)))

    def _scrubber(self) -> Content:
        steps, step = self._steps, self.step
        if step is None:
            return Content.styled("None of these runs drew samples while it trained.", _MUTED)
        index = steps.index(step)
        length = min(max(_SHORTEST_BAR, self.size.width - _WORDS), _LONGEST_BAR)
        at = round(index / max(1, len(steps) - 1) * (length - 1))
        bar = (("━" * at, "$primary"), ("●", "$primary"), ("─" * (length - 1 - at), _MUTED))
        left_out = f" · {self._left_out} more not shown" if self._left_out else ""
        return Content.assemble(
            ("step ", _MUTED),
            f"{step:>{len(f'{steps[-1]:,}')},} ",
            *bar,
            (f" {index + 1} of {len(steps)} · ← →{left_out}", _MUTED),
        )
