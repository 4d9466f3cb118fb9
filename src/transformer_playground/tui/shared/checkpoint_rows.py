"""Rows of a picker of checkpoints."""

from collections.abc import Sequence

from textual.content import Content

from transformer_playground.formatting import loss_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.core.checkpoints import Choice

_ROLES_WIDTH = len("best, last")


def checkpoint_rows(choices: Sequence[Choice]) -> list[tuple[str, Content]]:
    """Name and text of each checkpoint: its step, what it is, its validation loss and its file."""
    steps = ["" if each.step is None else f"{each.step:,}" for each in choices]
    width = max(map(len, steps), default=0)
    return [
        (choice.name, _row(choice, step.rjust(width)))
        for choice, step in zip(choices, steps, strict=True)
    ]


def _row(choice: Choice, step: str) -> Content:
    loss = "" if choice.metric is None else f"val loss {loss_text(choice.metric)}"
    file = choice.names[len(choice.roles)] if len(choice.names) > len(choice.roles) else ""
    return Content.assemble(
        f"step {step}  " if step.strip() else "",
        (f"{', '.join(choice.roles):<{_ROLES_WIDTH}}  ", "bold"),
        loss.ljust(len("val loss 0.0000") + 2),
        (visible_line(file), "$text-muted"),
    )
