"""What a newcomer sees where runs will be."""

from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from transformer_playground.terminal import visible_line


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
