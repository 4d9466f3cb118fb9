"""Rows of the picker of experiments."""

from textual.content import Content

from transformer_playground.formatting import duration_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.launch.service import ExperimentChoice
from transformer_playground.tui.runs.details_state import DATA_LABELS


def choice_options(
    found: list[ExperimentChoice], start: tuple[str, int] | None = None
) -> list[tuple[str, Content]]:
    """Options of a picker: name, kind, state of the data and description of each experiment.

    Args:
        start: Name and seconds of the experiment to start with.
    """
    width = max((len(choice.name) for choice in found), default=0)
    labels = {"": "", **DATA_LABELS}
    state_width = max(map(len, labels.values()))
    return [
        (
            choice.name,
            Content.assemble(
                visible_line(choice.name).ljust(width + 2),
                (f"{choice.kind}  {labels[choice.data]:<{state_width}} ", "$text-muted"),
                (_start_text(start), "$accent") if start and start[0] == choice.name else "",
                visible_line(choice.description),
            ),
        )
        for choice in found
    ]


def _start_text(start: tuple[str, int]) -> str:
    return f"start here, about {duration_text(start[1])} · "
