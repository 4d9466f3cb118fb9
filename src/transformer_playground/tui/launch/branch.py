"""Branching a new run off a checkpoint of the run under the cursor."""

from typing import TYPE_CHECKING

from textual.content import Content

from transformer_playground.formatting import loss_text
from transformer_playground.terminal import visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.sample.checkpoints import Choice, choices_of

if TYPE_CHECKING:
    from transformer_playground.tui.app import Console


def branch_off(console: "Console") -> None:
    """Ask for a checkpoint of the current run, then for what shall be different."""
    row = console.snapshot.runs.get(console.workspace.current or "")
    if row is None or row.experiment is None:
        console.notify("Put the cursor on a run first.", severity="warning", markup=False)
        return
    run_id, experiment = row.run_id, row.experiment

    def look() -> None:
        found = choices_of(console.runs_dir, run_id).checkpoints
        console.call_from_thread(ask, found)

    def ask(found: tuple[Choice, ...]) -> None:
        if not found:
            text = f"{visible_line(run_id)} has no checkpoint to branch from."
            console.notify(text, severity="warning", markup=False)
            return
        title = f"Branch off {visible_line(run_id)} at"
        console.push_screen(PickScreen(title, [_option(each) for each in found], None), take)

    def take(checkpoint: str | None) -> None:
        if checkpoint is not None:
            console.ask_launch(Launch(experiment, branch=(run_id, checkpoint)))

    console.run_worker(look, group="launch", thread=True, exclusive=True)


def _option(choice: Choice) -> tuple[str, Content]:
    step = "" if choice.step is None else f"  step {choice.step:,}"
    loss = "" if choice.metric is None else f"  val loss {loss_text(choice.metric)}"
    return choice.name, Content.assemble(
        visible_line(choice.name), (f"{step}{loss}", "$text-muted")
    )
