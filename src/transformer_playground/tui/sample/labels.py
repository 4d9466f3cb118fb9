"""Runs and checkpoints in words, with the run's colour and glyph."""

from collections.abc import Sequence

from textual.content import Content

from transformer_playground.formatting import loss_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.core.checkpoints import Choice, Choices
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.themes import PLAIN, SERIES

_MUTED = "$foreground 60%"


def run_text(context: AppContext, source: Source) -> Content:
    """Glyph and name of a run, and the checkpoint's name if it has one."""
    slot = context.workspace.slot(source.run_id)
    series = PLAIN if slot is None else SERIES[slot]
    colour = series.colour(dark=context.is_dark)
    words = Content.assemble((series.glyph, colour), " ", visible_line(source.run_id))
    if not source.checkpoint:
        return words
    return Content.assemble(words, (f" · {visible_line(source.checkpoint)}", _MUTED))


def choice_text(choice: Choice) -> Content:
    """A checkpoint with its step and loss, as far as they are known."""
    words = [visible_line(choice.name)]
    if choice.step is not None:
        words.append(f"step {choice.step:,}")
    if choice.metric is not None:
        words.append(f"val loss {loss_text(choice.metric)}")
    return Content(" · ").join(map(Content, words))


def source_text(context: AppContext, choices: Choices, sources: Sequence[Source]) -> Content:
    """Everything that is drawn from, on one line."""
    if len(sources) > 1:
        words = [run_text(context, source) for source in sources]
        return Content.assemble(("beside each other  ", _MUTED), Content("  ").join(words))
    (source,) = sources or (Source(choices.run_id),)
    choice = choices.named(source.checkpoint)
    run = run_text(context, Source(source.run_id, ""))
    return Content.assemble(run, (" · ", _MUTED), choice_text(choice)) if choice else run
