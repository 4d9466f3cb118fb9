"""Lists of the Data view: what each pane shows, and which entry is chosen."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from transformer_playground.data.browsing.overlap import SharedLine
from transformer_playground.dataset_views.measures import HardWindow, TokenCost
from transformer_playground.dataset_views.reading import StepBatch
from transformer_playground.dataset_views.source import DataSource
from transformer_playground.dataset_views.vocabulary import (
    SORTS,
    Sort,
    VocabularyRow,
    vocabulary_rows,
)
from transformer_playground.tui.data.data_state import (
    MOST_ROWS,
    Line,
    batch_lines,
    document_lines,
    hard_lines,
    overlap_lines,
    shared_lines,
    sort_text,
    vocabulary_head,
    vocabulary_lines,
)
from transformer_playground.tui.data.panes import ListPane, SentencePane
from transformer_playground.tui.data.service import Counts
from transformer_playground.tui.shared.view import View


@dataclass
class Results:
    """What is known of the open dataset.

    Attributes:
        batch: The sequences of the chosen step.
        cost: The loss of each token, if it was measured.
        hardest: The hardest windows and the start of their text, if they were measured.
        sort: What the vocabulary is sorted by.
    """

    counts: Counts | None = None
    batch: StepBatch | None = None
    cost: TokenCost | None = None
    hardest: tuple[HardWindow, ...] | None = None
    previews: tuple[str, ...] = ()
    sort: Sort = "count"
    rows: list[VocabularyRow] = field(default_factory=list)

    @property
    def shared(self) -> tuple[SharedLine, ...]:
        """The longest lines that both splits have."""
        return self.counts.overlap.longest if self.counts else ()

    def next_sort(self) -> None:
        """Sort the vocabulary by what comes next; by losses only where they were measured."""
        known: list[Sort] = [
            sort for sort in SORTS if self.cost is not None or sort not in ("loss", "cost")
        ]
        place = known.index(self.sort) if self.sort in known else 0
        self.sort = known[(place + 1) % len(known)]


class Lists:
    """Fills the panes below the text."""

    def __init__(self, view: View) -> None:
        self._view = view

    def _list(self, name: str) -> ListPane:
        return self._view.query_one(f"#data-{name}", ListPane)

    def show_all(self, source: DataSource, results: Results) -> None:
        """Fill every pane."""
        self.show_batch(source, results)
        self.show_vocabulary(source, results)
        self.show_counts(results)
        self.show_hardest(source, results)

    def show_batch(self, source: DataSource, results: Results) -> None:
        """The sequences of the chosen step."""
        pane, batch = self._list("batch"), results.batch
        if batch is None:
            pane.say("", "batch")
            return
        data = source.config.train.data
        pieces = f"{data.grad_accum_steps} × " if data.grad_accum_steps > 1 else ""
        head = (
            f"{pieces}{data.batch_size} sequences, {batch.targets:,} targets, "
            f"seed {source.config.train.runtime.seed}, {data.sampler} order"
        )
        write = partial(batch_lines, batch.rows)
        pane.show(write, lambda _: head, f"batch of step {batch.step:,}")

    def show_vocabulary(self, source: DataSource, results: Results) -> None:
        """Tokens with their counts."""
        pane, counts = self._list("vocabulary"), results.counts
        total = source.table.vocab_size
        unit = "" if results.cost is None else " · loss in nats"
        title = f"vocabulary · {sort_text(results.sort, total)}{unit}"
        if counts is None:
            pane.say(self._not_counted(), "vocabulary")
            return
        results.rows = vocabulary_rows(
            source.table, counts.train, counts.val, results.cost, results.sort, MOST_ROWS
        )
        rows, sort = results.rows, results.sort

        def write(width: int) -> Iterator[Line]:
            return (line for row in rows for line in vocabulary_lines((row,), width, sort))

        pane.show(write, partial(vocabulary_head, sort=sort), title)

    def show_counts(self, results: Results) -> None:
        """Documents by length, and the lines of both splits."""
        documents = self._view.query_one("#data-documents", SentencePane)
        shared, counts = self._list("shared"), results.counts
        if counts is None:
            sentence: Line = ((self._not_counted(), "muted"),)
            documents.show(lambda _: [sentence], "documents")
            shared.say(self._not_counted(), "shared lines")
            return
        documents.show(partial(_documents, counts), f"{counts.train.unit}s by length")
        overlap = counts.overlap
        title = f"validation lines in train · {overlap.shared:,} of {overlap.val_lines:,}"
        if results.shared:
            write = partial(shared_lines, results.shared)
            shared.show(write, lambda _: "bytes  val  text", title)
        else:
            shared.say("No validation line stands in the training text.", title)

    def show_hardest(self, source: DataSource, results: Results) -> None:
        """The windows that the run finds hardest."""
        pane = self._list("hardest")
        if results.hardest is None:
            key = self._view.key_hint("data.evaluate")
            who = "its best checkpoint" if source.run else "a run: choose one first"
            pane.say(f"{key} measures every window of val with {who}.", "hardest windows")
            return
        previews = dict(zip(results.hardest, results.previews, strict=True))
        write = partial(hard_lines, results.hardest, previews.__getitem__)
        pane.show(write, lambda _: "   loss    at token  text", _HARDEST_TITLE)

    def _not_counted(self) -> str:
        return f"Not counted yet: {self._view.key_hint('data.evaluate')} counts."


_HARDEST_TITLE = "hardest windows of val · loss in nats per token"


def _documents(counts: Counts, width: int) -> list[Line]:
    lines = [*overlap_lines(counts.overlap)]
    for split in ("train", "val"):
        lines += [(), *document_lines(split, counts.of(split), width)]
    return lines
