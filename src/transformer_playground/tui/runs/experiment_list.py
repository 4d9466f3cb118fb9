"""List of experiments with the state of their datasets, and first steps while there are no runs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.experiments.discovery import Experiment
    from transformer_playground.tui.runs.details_state import ExperimentDetails

_STYLES: Mapping[str, str] = {
    "prepared": "$text-success",
    "stale": "$text-warning",
    "missing": "$foreground 60%",
    "broken": "$text-error",
}
_MAX_ABOUT = 200


class ExperimentList(OptionList):
    """Two lines for each experiment."""

    def __init__(self) -> None:
        super().__init__(id="experiments", classes="pane", markup=False, compact=True)
        self.border_title = Content("Experiments")
        self._shown: list[tuple[str, ExperimentDetails | None]] = []
        self._shown_width = 0

    @property
    def current(self) -> str | None:
        highlighted = self.highlighted_option
        return highlighted.id if highlighted else None

    def show(
        self, experiments: "Sequence[Experiment]", details: "Mapping[str, ExperimentDetails]"
    ) -> None:
        shown = [(each.name, details.get(each.name)) for each in experiments]
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
        width = self.scrollable_content_region.width
        if width != self._shown_width:
            self._shown_width = width
            for name, each in self._shown:
                self.replace_option_prompt(name, _prompt(name, each, width))


def _prompt(name: str, details: "ExperimentDetails | None", width: int) -> Content:
    if details is None:
        return Content.assemble(visible_line(name), "\n", ("…", "$foreground 60%"))
    # Imported after the first frame.
    from transformer_playground.tui.runs.details_state import DATA_LABELS

    state = DATA_LABELS[details.data]
    space = max(1, width - len(state) - 1)
    title = Content(visible_line(name)).truncate(space, ellipsis=True)
    gap = " " * max(1, width - title.cell_length - cell_len(state))
    about = visible_line(f"{details.kind} · {details.description}"[:_MAX_ABOUT]).rstrip("· ")
    line = Content(about).truncate(max(1, width), ellipsis=True).stylize("$foreground 60%")
    return Content.assemble(title, gap, (state, _STYLES[details.data]), "\n", line)


class EmptyState(Static):
    """First steps, shown while there are no runs."""

    def __init__(self) -> None:
        super().__init__("", id="empty-state", markup=False)

    def show(
        self,
        *,
        experiments: int,
        experiments_dir: Path,
        problem: str | None,
        hint: Callable[[str], str],
    ) -> None:
        if problem is not None:
            self.update(Content.styled(visible_line(problem), "$text-error"))
        elif experiments:
            self.update(_first_steps(hint))
        else:
            self.update(_new_experiment(experiments_dir))


def _first_steps(hint: Callable[[str], str]) -> Content:
    steps = (
        (hint("runs.open"), "on an experiment: see what will be trained"),
        ("enter", "train it; samples appear during training"),
        (hint("everywhere.sample"), "type a prompt and sample from your model"),
    )
    lines = [Content.styled("Your first model is three keys away", "bold"), Content("")]
    lines += [
        Content.assemble((f" {key:>5} ", "$accent bold"), (f"  {what}", "")) for key, what in steps
    ]
    help_text = f"arrows choose an experiment · {hint('everywhere.help')} shows every key"
    lines += [Content(""), Content.styled(help_text, "$foreground 60%")]
    return Content("\n").join(lines)


def _new_experiment(experiments_dir: Path) -> Content:
    lines = [
        Content.styled("There are no experiments yet", "bold"),
        Content.styled(f"in {visible_line(str(experiments_dir))}", "$foreground 60%"),
        Content(""),
        Content("Create one in another terminal; it appears here:"),
        Content(""),
        Content.styled("tp new my_experiment", "$accent bold"),
    ]
    return Content("\n").join(lines)
