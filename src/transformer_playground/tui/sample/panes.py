"""Sample panes: the texts of a job, one pane for each checkpoint."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from transformer_playground.checkpoints.discovery import skipped_notice
from transformer_playground.errors import PlaygroundError
from transformer_playground.files import replace_text, timestamped, write_new_file
from transformer_playground.formatting import loss_text
from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.core.sampling import (
    MOST_SOURCES,
    Failed,
    Source,
    Started,
    Update,
)
from transformer_playground.tui.sample.token_view import TokenDetail, TokenView
from transformer_playground.tui.sample.transcript import Place, Transcript
from transformer_playground.tui.sample.verbatim_state import VerbatimFinder, passage_lines
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.work import answer_in_thread

if TYPE_CHECKING:
    from transformer_playground.runs.generation import LoadedRun
    from transformer_playground.runs.verbatim import Passage


class SamplePanes(Vertical):
    """One visible pane per checkpoint."""

    BINDINGS = bindings_for("samples")

    def __init__(self) -> None:
        super().__init__(id="sample-panes")
        self._loaded: dict[int, LoadedRun] = {}
        self._titles: tuple[Content, ...] = ()
        self._is_old = False
        # Passages of the samples of a pane, by its number.
        self._passages: dict[int, list[Passage | None]] = {}

    def compose(self) -> ComposeResult:
        with Container(id="sample-texts"):
            for number in range(MOST_SOURCES):
                yield TokenView(f"sample-{number}")
        yield Static(id="verbatim", markup=False)
        yield TokenDetail()

    @property
    def views(self) -> list[TokenView]:
        return list(self.query(TokenView))

    @property
    def shown(self) -> list[TokenView]:
        return [view for view in self.views if view.display]

    @property
    def chosen(self) -> TokenView:
        """The focused pane, else the first one."""
        return next((view for view in self.shown if view.has_focus), self.views[0])

    @property
    def n_tokens(self) -> int:
        return sum(view.transcript.n_tokens for view in self.shown if view.transcript)

    @property
    def is_empty(self) -> bool:
        return not self._loaded

    def clear(self, titles: Sequence[Content], note: str) -> None:
        self._loaded.clear()
        self._passages.clear()
        self._titles, self._is_old = tuple(titles), False
        for number, view in enumerate(self.views):
            view.display = number < len(titles)
            if view.display:
                view.border_title = titles[number]
                view.border_subtitle = None
                view.show(None)
                view.show_note(note)
        self._show_detail()

    def retitle(self, titles: Sequence[Content]) -> None:
        """Replace the titles, in colours of another theme."""
        self._titles = tuple(titles)
        self.mark_old(self._is_old)

    def mark_old(self, is_old: bool) -> None:
        """Say in each title whether the text is of other checkpoints than the form names."""
        self._is_old = is_old
        for view, title in zip(self.views, self._titles, strict=False):
            view.border_title = Content.assemble("older sample · ", title) if is_old else title

    def show_updates(self, updates: Sequence[Update]) -> None:
        views, changed = self.views, set()
        for update in updates:
            view = views[update.column]
            changed.add(update.column)
            match update.event:
                case Started(loaded):
                    self._start(update.column, loaded, view)
                case Failed(problem):
                    view.show_note(f"✗ {problem}", problem=True)
                case event if view.transcript is not None:
                    view.transcript.add(event)
                case _:
                    pass
        for column in changed:
            views[column].grow()
            self._show_progress(views[column])

    def end(self) -> None:
        """Show what a stop left without a sample."""
        for view in self.shown:
            if view.transcript is None and not view.has_problem:
                view.show_note("stopped")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every sample of every pane as a row of the export."""
        from transformer_playground.runs.generation import sample_row

        for column, loaded in list(self._loaded.items()):
            transcript = self.views[column].transcript
            for index, sample in enumerate(transcript.samples if transcript else ()):
                yield sample_row(loaded, index, sample)

    def set_colours(self, colours: bool) -> None:
        for view in self.views:
            view.colours = colours
        self._show_detail()

    def on_token_view_cursor_moved(self, message: TokenView.CursorMoved) -> None:
        message.stop()
        if message.view.cursor is not None:
            for view in self.views:
                if view is not message.view:
                    view.cursor = None
        self._show_detail()

    def action_colours(self) -> None:
        colours = not self.views[0].colours
        context_of(self).settings.remember("sample", "colours", colours)
        self.set_colours(colours)

    def action_point(self, by: int) -> None:
        self.chosen.point(by)

    def action_step(self, by: int) -> None:
        self.chosen.step(by)

    def action_page(self, by: int) -> None:
        self.chosen.step(by * max(1, self.chosen.scrollable_content_region.height - 1))

    def action_end(self, by: int) -> None:
        self.chosen.step(by * math.inf)

    def action_copy(self) -> None:
        transcript = self.chosen.transcript
        if transcript is None:
            self.notify("There are no samples to copy yet.", markup=False)
            return
        text = "\n\n".join(transcript.texts())
        self.app.copy_to_clipboard(text)
        self.notify(f"Copied {len(text):,} characters.", markup=False)

    def action_verbatim(self) -> None:
        """Mark what the samples of the pane have in common with the training text, or no longer."""
        view = self.chosen
        column = self.views.index(view)
        loaded, transcript = self._loaded.get(column), view.transcript
        if self._passages.pop(column, None) is not None:
            view.mark_copied({})
            self._show_verbatim()
            return
        if loaded is None or transcript is None or not transcript.is_complete:
            self.notify("There are no finished samples to look up yet.", markup=False)
            return
        self.notify("Searching the training text …", markup=False)
        texts = [sample.text for sample in transcript.samples]
        answer_in_thread(
            self,
            "Searching the training text",
            partial(self._finder.find, loaded, texts),
            partial(self._take_passages, column, transcript),
            group="verbatim",
            exclusive=True,
        )

    def _take_passages(
        self,
        column: int,
        transcript: Transcript,
        found: "list[Passage | None] | PlaygroundError",
    ) -> None:
        if not self.is_attached:
            return
        view = self.views[column]
        if isinstance(found, PlaygroundError):
            self.notify(visible(str(found)), severity="warning", markup=False)
        elif view.transcript is transcript:
            self._passages[column] = found
            copied = {
                sample: transcript.tokens_of(sample, each.start, len(each.text))
                for sample, each in enumerate(found)
                if each is not None
            }
            view.mark_copied(copied)
            sample = view.cursor.sample if view.cursor else 0
            if copied.get(sample):
                view.go_to(Place(sample, copied[sample].start))
            self._show_verbatim()

    def _show_verbatim(self) -> None:
        """Say of the sample under the cursor, else of the first one, what it copies."""
        pane = self.query_one("#verbatim", Static)
        view = next((each for each in self.shown if each.cursor), self.chosen)
        passages = self._passages.get(self.views.index(view))
        pane.display = passages is not None
        if passages is None or view.transcript is None:
            return
        sample = view.cursor.sample if view.cursor else 0
        length = len(view.transcript.samples[sample].text)
        lines = passage_lines(passages[sample], length, max(1, self.size.width - 2))
        pane.update(Content("\n").join(Content.assemble(*line) for line in lines))

    @cached_property
    def _finder(self) -> VerbatimFinder:
        context = context_of(self)
        return VerbatimFinder(context.experiments_dir, context.runs_dir)

    def action_inside(self) -> None:
        """Look inside the model at the token under the cursor, or at the end of the sample."""
        view = next((each for each in self.shown if each.cursor), self.chosen)
        loaded = self._loaded.get(self.views.index(view))
        transcript = view.transcript
        if loaded is None or transcript is None or not transcript.n_tokens:
            self.notify("There is no sample to look inside yet.", markup=False)
            return
        from transformer_playground.tui.inside.actions import look_inside_tokens

        place = view.cursor or Place(0, len(transcript.samples[0].tokens))
        drawn = transcript.samples[place.sample].token_ids
        look_inside_tokens(
            context_of(self),
            Source(loaded.run_id, loaded.checkpoint.name),
            (*loaded.prompt.tokens, *drawn),
            len(loaded.prompt.tokens) + place.token,
        )

    def action_export(self) -> None:
        started = [view.transcript for view in self.shown if view.transcript is not None]
        if not started or not all(transcript.is_complete for transcript in started):
            self.notify("There are no finished samples to export yet.", markup=False)
            return
        export_in_worker(self, lambda: export_samples(self.rows(), Path.cwd()))

    def _show_detail(self) -> None:
        view = next((view for view in self.shown if view.cursor), self.views[0])
        token = None
        if view.transcript is not None and view.cursor is not None:
            token = view.transcript.token(view.cursor)
        text_of = partial(self._token_text, view)
        self._show_verbatim()
        self.query_one(TokenDetail).show_token(token, text_of, colours=view.colours)

    def _token_text(self, view: TokenView, token: int) -> str:
        # A token exists, so torch is already imported.
        from transformer_playground.runs.generation import token_text

        return token_text(self._loaded[self.views.index(view)].tokenizer, token)

    def _start(self, column: int, loaded: "LoadedRun", view: TokenView) -> None:
        self._loaded[column] = loaded
        count = loaded.decoding.num_samples
        view.show(Transcript(loaded.prompt.text, count, view.text_width))
        notes = [*loaded.notices]
        if loaded.skipped:
            notes.append(skipped_notice("; ".join(loaded.skipped)))
        if notes:
            view.show_note("".join(f"\n{note}" for note in notes), problem=bool(loaded.skipped))

    def _show_progress(self, view: TokenView) -> None:
        transcript = view.transcript
        if transcript is None:
            return
        # Stays with the text when the run has a newer checkpoint or the form is edited.
        drawn = _drawn_text(self._loaded[self.views.index(view)])
        if len(self.shown) == 1:
            # The form counts all tokens.
            view.border_subtitle = Content(drawn)
            return
        tokens = f"{transcript.n_tokens:,} tokens"
        if not transcript.is_complete:
            state = f"▶ {tokens}"
        else:
            state = f"■ stopped, {tokens}" if transcript.was_cancelled else f"✓ {tokens}"
        view.border_subtitle = Content(f"{drawn} · {state}")


def _drawn_text(loaded: "LoadedRun") -> str:
    """Checkpoint and settings that samples were drawn with."""
    loss = [] if loaded.val_loss is None else [f"val loss {loss_text(loaded.val_loss)}"]
    settings = [f"temp. {loaded.decoding.temperature:g}", f"seed {loaded.seed}"]
    return " · ".join([f"step {loaded.step:,}", *loss, *settings])


def export_samples(rows: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write samples to a new JSON Lines file, in the format of docs/schemas/sample.json.

    Raises:
        ExportError: OSError while writing.
    """
    lines = "".join(json.dumps({"event": "sample", **row}, allow_nan=False) + "\n" for row in rows)
    write = partial(replace_text, text=lines)
    return write_new_file(folder, timestamped("samples"), "jsonl", write)
