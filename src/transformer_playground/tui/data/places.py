"""Where the reader of the Data view is: the window of a split, and the ways to another one."""

import random
from functools import partial

import numpy as np

from transformer_playground.data.browsing.search import Match
from transformer_playground.data.browsing.statistics import token_of_line
from transformer_playground.dataset_views.reading import StepBatch, TokenWindow, read_window
from transformer_playground.dataset_views.source import SPLITS, DataSource
from transformer_playground.errors import UsageError
from transformer_playground.terminal import visible_line
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.data.data_state import (
    GoKind,
    Goto,
    origin_text,
    parse_goto,
    searched_text,
    window_place,
    window_title,
)
from transformer_playground.tui.data.jobs import Jobs
from transformer_playground.tui.data.lists import Results
from transformer_playground.tui.data.panes import TextPane
from transformer_playground.tui.data.service import DataService, Task
from transformer_playground.tui.dialogs.edit_text import EditTextScreen
from transformer_playground.tui.shared.view import View

_LEAST_WINDOW, _LONGEST_WINDOW = 256, 1_024
_LONGEST_NAME = 60


class DataHost(View):
    """The view whose text pane is filled.

    Attributes:
        source: The open dataset, if there is one.
        results: What is known of it.
        jobs: Its threads.
        service: What they do.
        places: Where the reader is.
    """

    source: DataSource | None
    results: Results
    jobs: Jobs
    service: DataService
    places: "Places"

    @property
    def threads(self) -> int | None:
        """CPU threads of a measurement: a run that trains at the same time needs the others."""
        return 1 if self.context.training.is_computing else None

    def bring(self, pane: str) -> None:
        """Bring a pane to the front."""
        raise NotImplementedError

    def read_batch(self, step: int) -> None:
        """Show what a step draws."""
        raise NotImplementedError


class Places:
    """Fills the text pane of a view with windows of the splits, or with other tokens.

    Attributes:
        split: The split that is read.
        first: Position of the first token of the window.
        match: What was found last.
        shown: What the text pane shows: a window of a split, or one sequence of a batch.
    """

    def __init__(self, view: DataHost) -> None:
        self._view = view
        self.split, self.first = SPLITS[0], 0
        self.match: Match | None = None
        self.shown: TokenWindow | StepBatch | None = None
        # What was typed last, and what is searched for: a text, or a token by its id.
        self._needle = ""
        self._wanted: str | int | None = None

    def forget(self) -> None:
        """Forget what was read: another dataset is opened."""
        self.split, self.first = SPLITS[0], 0
        self.match = self.shown = None
        if isinstance(self._wanted, int):
            # An id means another token there.
            self._wanted = None

    @property
    def text(self) -> str:
        """The text that is shown, untrusted."""
        source = self._view.source
        if source is None or self.shown is None:
            return ""
        return source.table.text(np.array(self._ids, dtype=np.int64)).decode("utf-8", "replace")

    @property
    def _ids(self) -> list[int]:
        shown = self.shown
        if shown is None:
            return []
        tokens = shown.tokens if isinstance(shown, TokenWindow) else shown.rows[0].tokens
        return [token.token for token in tokens]

    @property
    def _length(self) -> int:
        source = self._view.source
        size = source.config.train_block_size if source else _LONGEST_WINDOW
        # Several windows of a small model, and a part of a very long one.
        return min(size * -(-_LEAST_WINDOW // size), _LONGEST_WINDOW)

    @property
    def _total(self) -> int:
        source = self._view.source
        return len(source.split(self.split)) if source else 0

    def read_again(self) -> None:
        """Show the window once more, such as with the lines that were counted meanwhile."""
        if not isinstance(self.shown, StepBatch):
            self._read(self.split, self.first, self.match)

    def show_sequence(self, batch: StepBatch, number: int) -> None:
        """Show a sequence of a batch, in front, until another place is chosen."""
        # A window that is still read would take its place.
        self._view.jobs.cancel("read")
        self.match = None
        row = batch.rows[number]
        targets = sum(token.is_target for token in row.tokens)
        self.shown = StepBatch(batch.step, (row,), targets)
        title = f"step {batch.step:,} · sequence {number}"
        note = f"{row.masked} masked" if row.masked else ""
        self._view.query_one(TextPane).show(row.tokens, title, note)
        self._view.bring("text")

    def go(self, split: str, first: int) -> None:
        """Show a window, in front."""
        self.match = None
        self._view.bring("text")
        self._read(split, first)

    def leave_match(self) -> None:
        """Mark it no longer."""
        self.match = None
        self.read_again()

    def move(self, by: int) -> None:
        """Show the window before or after this one."""
        last = max(0, self._total - 1) // self._length * self._length
        self._read(self.split, min(max(0, self.first + by * self._length), last))

    def go_to_end(self, by: int) -> None:
        """Show the first window, or the last one."""
        self._read(self.split, 0 if by < 0 else max(0, self._total - self._length))

    def go_anywhere(self) -> None:
        """Show a window at a random place."""
        # For a person to look at, not for an experiment.
        choices = max(1, self._total - self._length + 1)
        self.go(self.split, random.randrange(choices))

    def other_split(self) -> None:
        """Show the start of the other split."""
        self.go(next(name for name in SPLITS if name != self.split), 0)

    def look_inside(self) -> None:
        """Look inside the model at what was found, or at a telling place of the first window."""
        source, shown = self._view.source, self.shown
        if source is None or shown is None:
            return
        if source.run is None:
            key = self._view.key_hint("data.run")
            text = f"An experiment has no model to look inside: {key} chooses a run."
            self._view.notify(text, markup=False)
            return
        tokens, position = self._ids, None
        if self.match is not None and isinstance(shown, TokenWindow):
            position = self.match.first - shown.first
        else:
            tokens = tokens[: source.config.train_block_size]
        # It comes with torch.
        from transformer_playground.tui.inside.actions import look_inside_tokens

        origin = origin_text(shown, len(tokens))
        run = Source(source.run.run_id)
        look_inside_tokens(self._view.context, run, tokens, position, origin)

    def ask_where(self, default: GoKind) -> None:
        """Let the user type a place.

        Args:
            default: What a number alone counts.
        """
        if self._view.source is None:
            return
        screen = EditTextScreen(
            "Go to",
            "",
            partial(self._checked_goto, default=default),
            f"a {default}, or: token 41216, line 12, window 3, step 100, 12.5%",
            does="goes there",
        )
        self._view.app.push_screen(screen, partial(self._go_to, default=default))

    def _checked_goto(self, text: str, default: GoKind) -> Goto:
        goto, source = parse_goto(text, default), self._view.source
        if source is not None:
            counts = self._view.results.counts
            lines = counts.of(self.split).lines if counts else None
            size, steps = source.config.train_block_size, source.config.train.runtime.max_iters
            goto.check(self.split, total=self._total, window=size, lines=lines, steps=steps)
        return goto

    def _go_to(self, text: str | None, default: GoKind) -> None:
        source = self._view.source
        if text is None or source is None:
            return
        goto = parse_goto(text, default)
        if goto.kind == "step":
            self._view.bring("batch")
            self._view.read_batch(int(goto.number))
        elif goto.kind == "line":
            self._go_to_line(int(goto.number))
        else:
            window = source.config.train_block_size
            self.go(self.split, goto.position(self._total, window))

    def _go_to_line(self, number: int) -> None:
        source, counts = self._view.source, self._view.results.counts
        if source is None or counts is None:
            self._view.notify("Lines are not counted yet.", severity="warning", markup=False)
            return
        split = self.split
        tokens, statistics = source.split(split), counts.of(split)
        find = partial(token_of_line, tokens, source.table, statistics, number)
        self._view.jobs.start("read", Task("reading"), find, partial(self.go, split))

    def ask_text(self) -> None:
        """Let the user type a text to search for."""

        def check(text: str) -> None:
            if not text:
                raise UsageError("There is nothing to search for.", "Type a text.")

        if self._view.source is not None:
            screen = EditTextScreen(
                f"Find in {self.split}",
                self._needle,
                check,
                r"letter for letter; \n stands for a line break",
                does="searches",
            )
            self._view.app.push_screen(screen, self._search)

    def _search(self, typed: str | None) -> None:
        if typed is not None:
            self._needle = typed
            self.find(searched_text(typed))

    def find_again(self, *, backwards: bool) -> None:
        """Go to the next place of the text that was searched for, or to the one before."""
        if self._wanted is None:
            self.ask_text()
        else:
            self.find(self._wanted, backwards=backwards)

    def find(self, wanted: str | int, *, backwards: bool = False) -> None:
        """Go to the nearest place of a text or a token, and search for it from now on.

        Beyond the end, the start follows.

        Args:
            wanted: A text, or the id of a token.
            backwards: Go to the nearest one before.
        """
        source = self._view.source
        if source is None or wanted == "":
            return
        self._wanted = wanted
        start = self.first
        if self.match is not None:
            start = self.match.first if backwards else self.match.first + 1
        split, task = self.split, Task("searching", self._total, is_long=True)
        work = partial(
            self._view.service.find, source, split, wanted, start, task, backwards=backwards
        )
        then = partial(self._found, source, split, wanted, start, backwards)
        self._view.jobs.start("find", task, work, then)

    def _found(
        self,
        source: DataSource,
        split: str,
        wanted: str | int,
        start: int,
        backwards: bool,
        match: Match | None,
    ) -> None:
        if match is None:
            text = source.table.shown(wanted) if isinstance(wanted, int) else wanted
            shown = visible_line(text)[:_LONGEST_NAME]
            self._view.notify(f"“{shown}” is not in {split}.", markup=False)
            return
        if (match.first >= start) if backwards else (match.first < start):
            end = "end" if backwards else "start"
            self._view.notify(f"Continued at the {end} of {split}.", markup=False)
        self.match = match
        self._view.bring("text")
        self._read(split, max(0, match.first - self._length // 4), match)

    def _read(self, split: str, first: int, match: Match | None = None) -> None:
        source, counts = self._view.source, self._view.results.counts
        if source is None:
            return
        work = partial(
            read_window,
            source,
            split,
            first,
            self._length,
            statistics=counts.of(split) if counts else None,
            match=match,
        )
        self._view.jobs.start("read", Task("reading"), work, self._show)

    def _show(self, window: TokenWindow) -> None:
        source = self._view.source
        if source is None:
            return
        self.split, self.first = window.split, window.first
        self.shown = window
        name = self._view.context.name_of(source.name) if source.run else source.name
        title = f"{name} · {window_title(window)}"
        self._view.query_one(TextPane).show(window.tokens, title, window_place(window))
