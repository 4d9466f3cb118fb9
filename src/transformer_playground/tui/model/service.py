"""Model service: answers requests in a worker thread, the shapes first and the weights later."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformer_playground.tui.core.sampling import cpu_threads
from transformer_playground.tui.model.measure import Stores, SubjectReader, Superseded
from transformer_playground.tui.model.reading import Ask, Reading, Shown, Subject

Publish = Callable[[Shown], object]
IsWanted = Callable[[], bool]


class ModelReader:
    """Reads and measures models; `work` must run in one thread at a time."""

    def __init__(self, experiments_dir: Path, runs_dir: Path) -> None:
        self._stores = Stores(experiments_dir, runs_dir)

    def release(self) -> None:
        """Free the models; what was measured is kept."""
        self._stores.release()

    def work(self, ask: Ask, publish: Publish, is_wanted: IsWanted) -> None:
        """Answer a request step by step; blocks.

        Args:
            ask: The request.
            publish: Called with an answer before and after each slow step, and with the last one,
                which is complete.
            is_wanted: Whether the request still stands; if not, the work ends at the next step.
        """
        try:
            with cpu_threads(ask.threads):
                self._work(ask, publish, is_wanted)
        except Superseded:
            return

    def _work(self, ask: Ask, publish: Publish, is_wanted: IsWanted) -> None:
        shown = Shown(ask, Reading(ask.subject))

        def add(**changes: Any) -> None:
            nonlocal shown
            shown = replace(shown, **changes)

        def flush() -> None:
            if not is_wanted():
                raise Superseded
            publish(shown)

        def reader(subject: Subject, key: str) -> SubjectReader:
            return SubjectReader(
                self._stores,
                subject,
                measures_large=ask.measures_large,
                take=lambda reading: add(**{key: reading}),
                flush=flush,
            )

        main = reader(ask.subject, "reading")
        main.read()
        if ask.other is not None:
            other = reader(ask.other, "other")
            other.read()
            add(apart=_apart(main, other))
        if ask.histogram is not None:
            add(histogram=main.histogram(ask.histogram))
        main.read_history()
        add(is_complete=True)
        flush()


def _apart(one: SubjectReader, other: SubjectReader) -> Mapping[str, float]:
    """Differences of the weights that both have; empty if one has none."""
    paths = one.chosen_path, other.chosen_path
    if paths[0] is None or paths[1] is None:
        return {}
    return one.differences(paths[0], other, paths[1])
