"""What the Data view counts and measures on request."""

from functools import partial

from transformer_playground.dataset_views.measures import HardWindow, TokenCost, beginnings
from transformer_playground.dataset_views.source import DataSource
from transformer_playground.tui.data.lists import Lists
from transformer_playground.tui.data.places import DataHost
from transformer_playground.tui.data.service import Counts, Task, counted_tokens

_Hardest = tuple[tuple[HardWindow, ...], tuple[str, ...]]


class Measuring:
    """Counts the dataset of a view, and measures it with the run that was trained on it."""

    def __init__(self, view: DataHost, lists: Lists) -> None:
        self._view, self._lists = view, lists

    def count(self) -> None:
        """Count tokens, lines and documents."""
        view, source = self._view, self._view.source
        if source is not None and not view.jobs.is_running("count"):
            task = Task("counting tokens", counted_tokens(source), is_long=True)
            work = partial(view.service.count, source, task)
            view.jobs.start("count", task, work, self._counted)

    def _counted(self, counts: Counts | None) -> None:
        view, source = self._view, self._view.source
        if counts is None or source is None:
            return
        view.results.counts = counts
        self._lists.show_vocabulary(source, view.results)
        self._lists.show_counts(view.results)
        view.places.read_again()

    def tokens(self, source: DataSource) -> None:
        """The loss of each token."""
        view = self._view
        view.bring("vocabulary")
        task = Task("measuring the loss of each token", is_long=True)
        work = partial(view.service.token_cost, source, task, view.threads)
        view.jobs.start("measure", task, work, self._tokens_measured)

    def _tokens_measured(self, cost: TokenCost | None) -> None:
        view, source = self._view, self._view.source
        if cost is not None and source is not None:
            view.results.cost, view.results.sort = cost, "cost"
            self._lists.show_vocabulary(source, view.results)

    def windows(self, source: DataSource) -> None:
        """The hardest windows."""
        view = self._view
        task, threads = Task("measuring each window", is_long=True), view.threads

        def work() -> _Hardest | None:
            found = view.service.hardest(source, task, threads)
            return None if found is None else (found, beginnings(source, found))

        view.jobs.start("measure", task, work, self._windows_measured)

    def _windows_measured(self, found: _Hardest | None) -> None:
        view, source = self._view, self._view.source
        if found is not None and source is not None:
            view.results.hardest, view.results.previews = found
            self._lists.show_hardest(source, view.results)
