"""Learning-rate range test as a dialog over the launch form."""

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible, visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.training.lr_range import RangeTest
from transformer_playground.training.lr_range_text import chart, explanation
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.launch.rate_test import RateTest, untestable
from transformer_playground.tui.shared.work import answer_in_thread

__all__ = ["RateScreen", "untestable"]

_MOST_LINES = 16
# Lines of the dialog that are not the chart.
_OTHER_LINES = 14
_SIDES = 6


class RateScreen(Dialog[tuple[str, ...]]):
    """Runs a test and shows its curve; closes with the settings of its suggestion, or none.

    Args:
        experiments_dir: Folder of experiments.
        runs_dir: Folder of runs.
        launch: What is tested, in a process that ends with the dialog.
        is_busy: Whether a run trains at the same time, which makes the test slower.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("rate"), *bindings_for("dialog")]

    def __init__(
        self, experiments_dir: Path, runs_dir: Path, launch: Launch, *, is_busy: bool
    ) -> None:
        super().__init__()
        self._test = RateTest(experiments_dir, runs_dir, launch)
        self._experiment, self._is_busy = launch.experiment, is_busy
        self._found: RangeTest | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="rate") as dialog:
            dialog.border_title = f"Learning rate of {visible_line(self._experiment)}"
            beside = ", beside a run that trains now" if self._is_busy else ""
            yield Static(
                f"A new model is trained with a growing rate{beside} …",
                id="rate-text",
                markup=False,
            )

    def on_mount(self) -> None:
        note = partial(self.app.call_from_thread, self._show)
        work = partial(self._test.run, note)
        answer_in_thread(self, "The range test", work, self._ended, group="rate")

    def on_unmount(self) -> None:
        self._test.cancel()

    def on_resize(self) -> None:
        if self._found is not None:
            self._show_test(self._found)

    def action_take(self) -> None:
        if self._found is not None and self._found.overrides:
            self.dismiss(self._found.overrides)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(())

    def _ended(self, outcome: RangeTest | str | PlaygroundError | None) -> None:
        if isinstance(outcome, RangeTest):
            if self.is_attached:
                self._show_test(outcome)
        elif outcome is not None:
            self._show(str(outcome))

    def _show(self, text: str) -> None:
        if self.is_attached:
            self.query_one("#rate-text", Static).update(visible(text))

    def _show_test(self, test: RangeTest) -> None:
        self._found = test
        height = max(4, min(_MOST_LINES, self.size.height - _OTHER_LINES))
        width = max(20, min(100, self.size.width - _SIDES))
        lines = [*chart(test, width=width, height=height), "", *explanation(test), *test.notes]
        self._show("\n".join(lines))
        if test.overrides:
            self.query_one("#rate").border_subtitle = (
                f"{self.key_hint('rate.take')} takes the suggestion · "
                f"{self.key_hint('dialog.close')} closes"
            )
