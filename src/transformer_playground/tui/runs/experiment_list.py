"""The experiments: name, state of their data, kind and description."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.experiments.discovery import Experiment
    from transformer_playground.tui.runs.experiments_state import DataState, ExperimentFacts
_STYLES: "Mapping[DataState, str]" = {
    "prepared": "$text-success",
    "stale": "$text-warning",
    "missing": "$foreground 60%",
    "broken": "$text-error",
}
_LONGEST = 200


class ExperimentList(OptionList):
    """Two lines for each experiment."""

    def __init__(self) -> None:
        super().__init__(id="experiments", classes="pane", markup=False, compact=True)
        self.border_title = Content("Experiments")
        self._shown: list[tuple[str, ExperimentFacts | None]] = []
        self._shown_width = 0

    @property
    def current(self) -> str | None:
        """Name of the experiment under the cursor."""
        highlighted = self.highlighted_option
        return highlighted.id if highlighted else None

    def show(
        self, experiments: "Sequence[Experiment]", facts: "Mapping[str, ExperimentFacts]"
    ) -> None:
        """Show these; the cursor stays on its experiment."""
        shown = [(each.name, facts.get(each.name)) for each in experiments]
        width = self.scrollable_content_region.width
        if shown == self._shown and width == self._shown_width:
            return
        same_names = [name for name, _ in shown] == [name for name, _ in self._shown]
        self._shown, self._shown_width = shown, width
        if same_names:
            for name, each in shown:
                self.replace_option_prompt(name, _prompt(name, each, width))
            return
        current = self.current
        self.clear_options()
        self.add_options(Option(_prompt(name, each, width), id=name) for name, each in shown)
        names = [name for name, _ in shown]
        if names:
            self.highlighted = names.index(current) if current in names else 0

    def on_resize(self) -> None:
        """Fit the lines to the new width."""
        width = self.scrollable_content_region.width
        if width != self._shown_width:
            self._shown_width = width
            for name, each in self._shown:
                self.replace_option_prompt(name, _prompt(name, each, width))


def _prompt(name: str, facts: "ExperimentFacts | None", width: int) -> Content:
    if facts is None:
        return Content.assemble(visible_line(name), "\n", ("…", "$foreground 60%"))
    # Imported by the first look, which comes after the first frame.
    from transformer_playground.tui.runs.experiments_state import GLYPHS

    state = f"{GLYPHS[facts.data]} {facts.data}"
    room = max(1, width - len(state) - 1)
    title = Content(visible_line(name)).truncate(room, ellipsis=True)
    gap = " " * max(1, width - title.cell_length - cell_len(state))
    about = visible_line(f"{facts.kind} · {facts.description}"[:_LONGEST]).rstrip("· ")
    line = Content(about).truncate(max(1, width), ellipsis=True).stylize("$foreground 60%")
    return Content.assemble(title, gap, (state, _STYLES[facts.data]), "\n", line)


class EmptyState(Static):
    """From nothing to the first sample."""

    def __init__(self) -> None:
        super().__init__("", id="empty-state", markup=False)

    def show(self, *, experiments: int, experiments_dir: Path, problem: str | None) -> None:
        """Lead on from what there is."""
        if problem is not None:
            self.update(Content.styled(visible_line(problem), "$text-error"))
        elif experiments:
            self.update(_three_keys())
        else:
            self.update(_make_one(experiments_dir))


def _three_keys() -> Content:
    steps = (
        ("enter", "on an experiment: see what will be trained"),
        ("enter", "train it; samples come as it learns"),
        ("3", "write a prompt, and let your model go on"),
    )
    lines = [Content.styled("Your first model is three keys away", "bold"), Content("")]
    lines += [
        Content.assemble((f" {key:>5} ", "$accent bold"), (f"  {what}", "")) for key, what in steps
    ]
    lines += [
        Content(""),
        Content.styled("arrows choose an experiment · ? shows every key", "$foreground 60%"),
    ]
    return Content("\n").join(lines)


def _make_one(experiments_dir: Path) -> Content:
    lines = [
        Content.styled("There are no experiments yet", "bold"),
        Content.styled(f"in {visible_line(str(experiments_dir))}", "$foreground 60%"),
        Content(""),
        Content("Make one in another terminal; it appears here:"),
        Content(""),
        Content.styled("tp new my_experiment", "$accent bold"),
    ]
    return Content("\n").join(lines)
