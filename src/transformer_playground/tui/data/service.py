"""Work of the Data view that takes time, for worker threads: opening, counting, measuring."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from transformer_playground.data.browsing.overlap import Overlap, line_overlap
from transformer_playground.data.browsing.search import Match, find_text
from transformer_playground.data.browsing.statistics import SplitStatistics, split_statistics
from transformer_playground.dataset_views.measures import (
    HardWindow,
    TokenCost,
    hardest_windows,
    measured_batches,
    measured_tokens,
)
from transformer_playground.dataset_views.reading import require_current
from transformer_playground.dataset_views.source import (
    DataSource,
    Split,
    source_of_experiment,
    source_of_run,
)
from transformer_playground.formatting import percent_text
from transformer_playground.runs.folder import open_run

MOST_AT_ONCE = 200_000_000
"""Tokens that are read to count a dataset without being asked for: some seconds."""
_KEPT = 4


@dataclass(frozen=True)
class Target:
    """Whose dataset is shown."""

    kind: Literal["run", "experiment"]
    name: str


class Task:
    """Something that runs in a worker thread: how far it is, and whether it should end.

    Attributes:
        title: What it does.
        total: Tokens or batches to read; 0 = unknown.
        is_long: Whether it may take more than a moment.
    """

    def __init__(self, title: str, total: int = 0, *, is_long: bool = False) -> None:
        self.title, self.total, self.is_long = title, total, is_long
        self.is_cancelled = False
        self._done = self._base = 0

    def cancel(self) -> None:
        """End soon."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Whether to end; asked before each block."""
        return self.is_cancelled

    def count_batch(self) -> bool:
        """`cancelled` of an evaluation, which asks before each batch."""
        self._done += 1
        return self.is_cancelled

    def progress(self, done: int) -> None:
        """Note what was read of the present part."""
        self._done = self._base + done

    def next_part(self) -> None:
        """What is noted from now on comes after all before."""
        self._base = self._done

    @property
    def text(self) -> str:
        """What it does, and how far it is."""
        if not self.total:
            return f"{self.title} …"
        return f"{self.title}: {percent_text(min(1.0, self._done / self.total))}"


@dataclass(frozen=True)
class Counts:
    """What was counted in a dataset."""

    train: SplitStatistics
    val: SplitStatistics
    overlap: Overlap

    def of(self, split: Split) -> SplitStatistics:
        """The counts of a split."""
        return self.train if split == "train" else self.val


@dataclass
class DataService:
    """Opens and counts datasets; counts are kept while the console runs."""

    experiments_dir: Path
    runs_dir: Path
    _counts: dict[str, Counts] = field(default_factory=dict)

    def open(self, target: Target) -> DataSource:
        """The dataset of a run or an experiment.

        Raises:
            PlaygroundError: There is none, or it cannot be read.
        """
        if target.kind == "run":
            return source_of_run(open_run(self.runs_dir, target.name), self.experiments_dir)
        return source_of_experiment(target.name, self.experiments_dir)

    def known_counts(self, source: DataSource) -> Counts | None:
        """What was counted before."""
        return self._counts.get(source.dataset.fingerprint)

    def count(self, source: DataSource, task: Task) -> Counts | None:
        """Count tokens, lines and documents, and compare the splits; None if cancelled.

        Raises:
            DataError: The dataset has changed, or has a token beyond the vocabulary.
        """
        found = []
        for name in ("train", "val"):
            require_current(source)
            counted = split_statistics(
                source.split(name),
                source.table,
                source.end_token,
                cancelled=task.cancelled,
                progress=task.progress,
            )
            if counted is None:
                return None
            task.next_part()
            found.append(counted)
        require_current(source)
        overlap = line_overlap(
            source.dataset.train,
            source.dataset.val,
            source.table,
            found[0].end_token,
            cancelled=task.cancelled,
            progress=task.progress,
        )
        if overlap is None:
            return None
        counts = Counts(found[0], found[1], overlap)
        self._counts[source.dataset.fingerprint] = counts
        while len(self._counts) > _KEPT:
            del self._counts[next(iter(self._counts))]
        return counts

    def find(
        self,
        source: DataSource,
        split: Split,
        text: str,
        start: int,
        task: Task,
        *,
        backwards: bool,
    ) -> Match | None:
        """The next place of a text; None if there is none or the search was cancelled.

        Raises:
            DataError: The dataset has changed, or has a token beyond the vocabulary.
        """
        require_current(source)
        return find_text(
            source.split(split),
            source.table,
            text,
            start,
            backwards=backwards,
            cancelled=task.cancelled,
            progress=task.progress,
        )

    def hardest(self, source: DataSource, task: Task) -> tuple[HardWindow, ...] | None:
        """The windows that a run finds hardest; None if cancelled.

        Raises:
            PlaygroundError: They cannot be measured.
        """
        require_current(source)
        task.total = measured_batches(source)
        return hardest_windows(source, self.experiments_dir, task.count_batch)

    def token_cost(self, source: DataSource, task: Task) -> TokenCost | None:
        """The loss of each token; None if cancelled.

        Raises:
            PlaygroundError: It cannot be measured.
        """
        require_current(source)
        task.total = measured_batches(source)
        return measured_tokens(source, task.count_batch)


def counted_tokens(source: DataSource) -> int:
    """Tokens that are read to count a dataset: each split twice."""
    return 2 * (len(source.dataset.train) + len(source.dataset.val))
