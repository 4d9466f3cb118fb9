"""List of experiments with the state of their datasets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from transformer_playground.formatting import duration_text
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.experiments.discovery import Experiment
    from transformer_playground.tui.runs.details_state import ExperimentDetails

_STYLES: Mapping[str, str] = {
    "prepared": "$text-success",
    "stale": "$text-warning",
    "missing": "$text-muted",
    "broken": "$text-error",
}
_MAX_ABOUT = 200
# Cells of the longest name that the narrow pane of the stylesheet holds.
_SLIM_NAME = 23


class ExperimentList(OptionList):
    """Two lines for each experiment."""

    def __init__(self) -> None:
        super().__init__(id="experiments", classes="pane", markup=False, compact=True)
        self.border_title = Content("Experiments")
        self._shown: list[tuple[str, ExperimentDetails | None]] = []
        self._start: tuple[str, int] | None = None
        self._shown_width = 0

    @property
    def current(self) -> str | None:
        highlighted = self.highlighted_option
        return highlighted.id if highlighted else None

    def show(
        self,
        experiments: "Sequence[Experiment]",
        details: "Mapping[str, ExperimentDetails]",
        start: tuple[str, int] | None = None,
        *,
        has_runs: bool = False,
    ) -> None:
        """Show experiments; `start` is name and seconds of the one to start with."""
        shown = [(each.name, details.get(each.name)) for each in experiments]
        longest = max((cell_len(name) for name, _ in shown), default=0)
        # Once there are runs, their table needs the space more than descriptions do.
        self.set_class(has_runs and longest <= _SLIM_NAME, "-slim")
        width = self.scrollable_content_region.width
        is_same = (shown, width, start) == (self._shown, self._shown_width, self._start)
        if is_same:
            return
        same_names = [name for name, _ in shown] == [name for name, _ in self._shown]
        self._shown, self._shown_width, self._start = shown, width, start
        if same_names:
            for name, each in shown:
                self.replace_option_prompt(name, self._prompt(name, each))
            return
        current = self.current
        self.clear_options()
        self.add_options(Option(self._prompt(name, each), id=name) for name, each in shown)
        names = [name for name, _ in shown]
        if names:
            wanted = current or (start[0] if start else None)
            self.highlighted = names.index(wanted) if wanted in names else 0

    def on_resize(self) -> None:
        width = self.scrollable_content_region.width
        if width != self._shown_width:
            self._shown_width = width
            for name, each in self._shown:
                self.replace_option_prompt(name, self._prompt(name, each))

    def _prompt(self, name: str, details: "ExperimentDetails | None") -> Content:
        seconds = self._start[1] if self._start and self._start[0] == name else None
        return _prompt(name, details, self._shown_width, seconds)


def _prompt(
    name: str, details: "ExperimentDetails | None", width: int, seconds: int | None
) -> Content:
    """The name on a line of its own; below it the state of the data and what it is about."""
    width = max(1, width)
    title = Content(visible_line(name)).truncate(width, ellipsis=True)
    about = Content.styled("…", "$text-muted")
    state = ("", "")
    if details is not None:
        # Imported after the first frame.
        from transformer_playground.tui.runs.details_state import DATA_LABELS

        # Prepared data needs no word.
        label = DATA_LABELS[details.data]
        shown = f"{label[0]} " if details.data == "prepared" else f"{label}  "
        state = (shown, _STYLES[details.data])
        text = visible_line(f"{details.kind} · {details.description}"[:_MAX_ABOUT]).rstrip("· ")
        about = Content.styled(text, "$text-muted")
    if seconds is not None:
        about = Content.styled(f"start here, about {duration_text(seconds)}", "$accent")
    below = Content.assemble(state, about).truncate(width, ellipsis=True)
    return Content.assemble(title, "\n", below)
