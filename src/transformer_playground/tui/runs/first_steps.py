"""First steps, shown in place of the table while there are no runs."""

from collections.abc import Callable
from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from transformer_playground.formatting import duration_text
from transformer_playground.terminal import visible_line


class EmptyState(Static):
    """First steps, shown while there are no runs."""

    def __init__(self) -> None:
        super().__init__("", id="empty-state", markup=False)

    def show(
        self,
        *,
        experiments: int,
        start: tuple[str, int] | None,
        experiments_dir: Path,
        problem: str | None,
        hint: Callable[[str], str],
    ) -> None:
        if problem is not None:
            self.update(Content.styled(visible_line(problem), "$text-error"))
        elif experiments:
            self.update(_first_steps(hint, start))
        else:
            self.update(_new_experiment(experiments_dir, hint))


def _first_steps(hint: Callable[[str], str], start: tuple[str, int] | None) -> Content:
    which = f"on {start[0]} (about {duration_text(start[1])})" if start else "on an experiment"
    steps = (
        (hint("runs.open"), f"{which}: see what will be trained"),
        ("enter", "train it; samples appear during training"),
        (hint("everywhere.sample"), "type a prompt and sample from your model"),
    )
    lines = [Content.styled("Your first model is three keys away", "bold"), Content("")]
    lines += [
        Content.assemble((f" {key:>5} ", "$accent bold"), (f"  {what}", "")) for key, what in steps
    ]
    help_text = f"arrows choose an experiment · {hint('everywhere.help')} shows every key"
    lines += [Content(""), Content.styled(help_text, "$text-muted")]
    return Content("\n").join(lines)


def _new_experiment(experiments_dir: Path, hint: Callable[[str], str]) -> Content:
    lines = [
        Content.styled("There are no experiments yet", "bold"),
        Content.styled(f"in {visible_line(str(experiments_dir))}", "$text-muted"),
        Content(""),
        Content.assemble(
            (hint("everywhere.new"), "$accent bold"),
            " copies a bundled one and trains it; start with the one that is marked.",
        ),
        Content(""),
        Content("Or create your own in another terminal; it appears here:"),
        Content(""),
        Content.styled("tp new my_experiment", "$accent bold"),
    ]
    return Content("\n").join(lines)
