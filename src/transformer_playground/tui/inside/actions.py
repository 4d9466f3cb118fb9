"""Opens the view inside a text."""

from collections.abc import Sequence

from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.inside.question import GivenTokens, Question, SplitWindow
from transformer_playground.tui.inside.service import InsideService
from transformer_playground.tui.inside.view import InsideView


def look_inside_run(context: AppContext, run_id: str | None) -> None:
    """Look at the first window of the validation split with the best checkpoint of a run."""
    if run_id is None:
        context.app.notify("There is no run to look inside.", markup=False)
        return
    _look(context, Question((Source(run_id),), SplitWindow()))


def look_inside_tokens(
    context: AppContext,
    source: Source,
    tokens: Sequence[int],
    position: int | None,
    origin: str = "sample",
) -> None:
    """Look at a token of a text.

    Args:
        context: Of the console.
        source: The checkpoint.
        tokens: The text, such as prompt and sample.
        position: Of the token among them; None = a telling one.
        origin: Where the text comes from, in words.
    """
    place = None if position is None else max(1, position)
    _look(context, Question((source,), GivenTokens(tuple(tokens), origin), place))


def _look(context: AppContext, question: Question) -> None:
    # Of its own, so that what it loads goes with the view.
    service = InsideService(context.experiments_dir, context.runs_dir)
    context.app.push_screen(InsideView(service, question))
