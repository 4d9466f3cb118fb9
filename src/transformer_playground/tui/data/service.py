"""Work of the Data view that takes time, for threads: opening, counting, measuring, preparing."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transformer_playground.data.browsing.overlap import Overlap, line_overlap
from transformer_playground.data.browsing.search import Match, find_text, find_token
from transformer_playground.data.browsing.statistics import SplitStatistics, split_statistics
from transformer_playground.data.meta import META_FILE
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
from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.experiments.dataset_lookup import dataset_folders
from transformer_playground.experiments.discovery import CONFIG_FILE, load_experiment
from transformer_playground.experiments.recorded import recorded_preparation
from transformer_playground.files import modified
from transformer_playground.formatting import percent_text
from transformer_playground.runs.folder import open_run, read_run_config
from transformer_playground.training.launch import Launch, ResolvedLaunch, resolve_launch
from transformer_playground.tui.core.sampling import cpu_threads

if TYPE_CHECKING:
    from transformer_playground.data.prepare import PrepareReport

MOST_AT_ONCE = 200_000_000
"""Tokens that are read to count a dataset without being asked for: some seconds."""
_KEPT = 4


@dataclass(frozen=True)
class Target:
    """Whose dataset is shown."""

    kind: Literal["run", "experiment"]
    name: str


@dataclass(frozen=True)
class Awaited:
    """A dataset that is not there yet.

    Attributes:
        changed: The file that completes a dataset, in each folder where it may be prepared, with
            the time of its last change; None while it is missing.
    """

    changed: Mapping[Path, float | None]

    @property
    def is_worth_a_try(self) -> bool:
        """Whether something was prepared or removed since."""
        return any(modified(path) != before for path, before in self.changed.items())


class StoppedError(PlaygroundError):
    """Raised to end work that was cancelled."""

    def __init__(self) -> None:
        super().__init__("stopped")


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
        self._said = ""

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

    def say(self, text: str) -> None:
        """Note what it does now; untrusted.

        Raises:
            StoppedError: It was cancelled.
        """
        if self.is_cancelled:
            raise StoppedError
        self._said = text

    @property
    def text(self) -> str:
        """What it does, and how far it is."""
        if self._said:
            return f"{self.title}: {self._said}"
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

    def awaited(self, target: Target) -> Awaited:
        """Where the dataset of a run or an experiment that cannot be opened may be prepared."""
        folders: Sequence[Path] = ()
        with contextlib.suppress(PlaygroundError):
            if target.kind == "run":
                record = read_run_config(open_run(self.runs_dir, target.name))
                folders = tuple(dataset_folders(record, self.experiments_dir))
            else:
                _, loaded = load_experiment(self.experiments_dir, target.name, None, (), os.environ)
                folders = (loaded.config.prepare.dataset_dir,)
        return Awaited({path: modified(path) for path in (each / META_FILE for each in folders)})

    def preparation(self, target: Target) -> ResolvedLaunch:
        """What prepares the dataset of a run or an experiment again, whatever its state.

        For a run it is the experiment as it is now, with the overrides that the run recorded.

        Raises:
            PlaygroundError: There is no such run or experiment, or its settings are not valid.
        """
        if target.kind == "experiment":
            launch = Launch(target.name, prepare="always")
            return resolve_launch(self.experiments_dir, self.runs_dir, launch)
        found = recorded_preparation(read_run_config(open_run(self.runs_dir, target.name)))
        if found.experiment is None and found.config is None:
            raise UsageError(
                f"The run '{target.name}' does not say its experiment.",
                "Prepare the experiment of its dataset.",
            )
        launch = Launch(
            found.experiment or "", found.overrides, config=found.config, prepare="always"
        )
        folder = found.experiments_dir
        if folder is None or (self.experiments_dir / launch.experiment / CONFIG_FILE).is_file():
            # The run may have been trained where this project was before it was moved.
            folder = self.experiments_dir
        return resolve_launch(folder, self.runs_dir, launch)

    def prepare(self, resolved: ResolvedLaunch, task: Task) -> "PrepareReport | None":
        """Prepare a dataset; None if cancelled, which leaves the old one.

        Raises:
            DataError: The corpus is unusable, or the experiment's `prepare.py` fails.
        """
        try:
            return resolved.prepare(task.say, lambda progress: task.say(str(progress)))
        except StoppedError:
            return None

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
        wanted: str | int,
        start: int,
        task: Task,
        *,
        backwards: bool,
    ) -> Match | None:
        """The next place of a text, or of the token with an id; None if none or cancelled.

        Raises:
            DataError: The dataset has changed, or has a token beyond the vocabulary.
        """
        require_current(source)
        tokens = source.split(split)
        find = (
            partial(find_token, tokens, wanted)
            if isinstance(wanted, int)
            else partial(find_text, tokens, source.table, wanted)
        )
        return find(start, backwards=backwards, cancelled=task.cancelled, progress=task.progress)

    def hardest(
        self, source: DataSource, task: Task, threads: int | None = None
    ) -> tuple[HardWindow, ...] | None:
        """The windows that a run finds hardest; None if cancelled.

        Args:
            threads: CPU threads that are used at most; None for all.

        Raises:
            PlaygroundError: They cannot be measured.
        """
        require_current(source)
        task.total = measured_batches(source)
        with cpu_threads(threads):
            return hardest_windows(source, self.experiments_dir, task.count_batch)

    def token_cost(
        self, source: DataSource, task: Task, threads: int | None = None
    ) -> TokenCost | None:
        """The loss of each token; None if cancelled.

        Args:
            threads: CPU threads that are used at most; None for all.

        Raises:
            PlaygroundError: It cannot be measured.
        """
        require_current(source)
        task.total = measured_batches(source)
        with cpu_threads(threads):
            return measured_tokens(source, task.count_batch)


def counted_tokens(source: DataSource) -> int:
    """Tokens that are read to count a dataset: each split twice."""
    return 2 * (len(source.dataset.train) + len(source.dataset.val))
