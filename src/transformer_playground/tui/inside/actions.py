"""Opens the view inside a text."""

from collections.abc import Sequence
from functools import lru_cache

from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.inside.question import GivenTokens, Question, SplitWindow
from transformer_playground.tui.inside.service import InsideService
from transformer_playground.tui.inside.view import InsideView

# Kept while the console is open, because it caches loaded models.
_service = lru_cache(maxsize=1)(InsideService)


def look_inside_run(context: AppContext, run_id: str | None) -> None:
    """Look at the first window of the validation split with the best checkpoint of a run."""
    if run_id is None:
        context.app.notify("There is no run to look inside.", markup=False)
        return
    _look(context, Question((Source(run_id),), SplitWindow()))


def look_inside_tokens(
    context: AppContext, source: Source, tokens: Sequence[int], position: int
) -> None:
    """Look at a token of a text that a checkpoint has drawn.

    Args:
        context: Of the console.
        source: The checkpoint.
        tokens: Prompt and sample.
        position: Of the token among them.
    """
    _look(context, Question((source,), GivenTokens(tuple(tokens)), max(1, position)))


def _look(context: AppContext, question: Question) -> None:
    service = _service(context.experiments_dir, context.runs_dir)
    context.app.push_screen(InsideView(service, question))
