"""Inside a text: surprisal, logit lens, attention and knocked-out parts, for any checkpoint."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.types import CSSPathType

from transformer_playground.errors import UsageError
from transformer_playground.files import timestamped, write_new_file
from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.dialogs.edit_text import EditTextScreen
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.inside.inside_state import InsideState, file_of
from transformer_playground.tui.inside.newest import NewestQuestion
from transformer_playground.tui.inside.panes import LEAST_WIDE, InsidePanes, TextPane
from transformer_playground.tui.inside.question import Answer, Question, SplitWindow, TypedText
from transformer_playground.tui.inside.service import InsideService
from transformer_playground.tui.shared.checkpoint_rows import checkpoint_rows
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.text import replace_symbols, typed_number
from transformer_playground.tui.shared.view import KeyRank, View

if TYPE_CHECKING:
    from transformer_playground.inspection.request import View as InspectView

_EXPORTS: "dict[InspectView, str]" = {
    "text": "surprisal along the text",
    "lens": "logit lens at the cursor",
    "attention": "attention at the cursor",
    "attribution": "what each head and MLP adds to the logit",
    "heads": "scores of heads",
    "ablate": "loss without what is knocked out",
}


class InsideView(View):
    """A look inside one text, on top of the view that opened it.

    Args:
        service: Answers the questions.
        question: What to look at first.
    """

    NAME = "inside"
    CSS_PATH: ClassVar[CSSPathType | None] = "inside.tcss"
    BINDINGS = bindings_for("inside")
    AUTO_FOCUS: ClassVar[str | None] = ""

    def __init__(self, service: InsideService, question: Question) -> None:
        super().__init__()
        self._service = service
        self.state = InsideState(question)
        self._asked: Question | None = None
        self.is_reading = False

    def compose_body(self) -> ComposeResult:
        yield InsidePanes(self.state)

    def on_mount(self) -> None:
        self._newest = NewestQuestion(self._service.answers, self._show_from_worker)
        self._ask()

    def on_unmount(self) -> None:
        self._newest.drop()
        self._service.release()

    def refresh_view(self) -> None:
        """Draw again: names of runs may have changed."""
        self._draw()

    @property
    def panes(self) -> InsidePanes:
        return self.query_one(InsidePanes)

    def _draw(self) -> None:
        self.panes.draw(is_reading=self.is_reading)

    def _ask(self) -> None:
        self._asked, self.is_reading = self.state.question, True
        # Leave the CPU cores to a run in training.
        threads = 1 if self.context.training.is_computing else None
        if self._newest.ask(self._asked, threads):
            self.run_worker(self._newest.work, group="inside", thread=True, exit_on_error=False)
        self._draw()

    def _show_from_worker(self, answer: Answer) -> None:
        self.app.call_from_thread(self._take, answer)

    def _take(self, answer: Answer) -> None:
        # The next question may have been asked while this waited to be shown.
        if answer.question is self._asked and self.is_mounted:
            self.is_reading = False
            refusal = self.state.take(answer)
            if refusal:
                self.notify(visible(refusal), severity="error", markup=False)
                # What was shown before may not have been complete yet.
                self._ask()
            else:
                self._draw()

    def on_text_pane_clicked(self, event: TextPane.Clicked) -> None:
        if self.state.point(event.position):
            self._ask()

    def in_key_bar(self, action: str) -> KeyRank:
        if action == "section" and not self.state.is_beside and self.size.width >= LEAST_WIDE:
            return "hidden"
        return super().in_key_bar(action)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "restore":
            return bool(self.state.question.parts)
        return super().check_action(action, parameters)

    def action_token(self, by: int) -> None:
        if self.state.move(by):
            self._ask()

    def action_end(self, by: int) -> None:
        count = self.state.answer.text.count if self.state.answer and self.state.answer.text else 1
        if self.state.point(count if by > 0 else 1):
            self._ask()

    def action_surprise(self, by: int) -> None:
        if self.state.surprise(by):
            self._ask()

    def action_block(self, by: int) -> None:
        if self.state.turn_block(by):
            self._ask()

    def action_part(self, by: int) -> None:
        self.state.turn_part(by)
        if self.size.width < LEAST_WIDE and not self.state.is_beside:
            # What is chosen must be seen.
            self.state.section = "attention"
        self._draw()

    def action_section(self) -> None:
        self.state.section = "attention" if self.state.section == "lens" else "lens"
        self._draw()

    def action_knock_out(self) -> None:
        if self.state.first is not None:
            self.state.knock_out()
            self._ask()
            self.refresh_bindings()

    def action_restore(self) -> None:
        if self.state.restore():
            self._ask()
            self.refresh_bindings()

    def action_mean(self) -> None:
        self.state.toggle_mean()
        self.notify(
            "What is knocked out is replaced by "
            + ("its mean over the text." if self.state.question.mean else "zero.")
        )
        if self.state.question.parts:
            self._ask()

    def action_scrub(self, by: int) -> None:
        if self.state.scrub(by):
            self._ask()
        else:
            self.notify(f"There is no {'later' if by > 0 else 'earlier'} checkpoint of this run.")

    def action_window(self, by: int) -> None:
        if self.state.turn_window(by):
            self._ask()

    def action_go_to_window(self) -> None:
        """Ask for the number of a window."""
        chosen = self.state.refused or self.state.question.text
        text = self.state.answer.text if self.state.answer else None
        last = text.windows - 1 if text and text.windows else None
        number = str(chosen.number) if isinstance(chosen, SplitWindow) else "0"
        hint = "Counted from 0." if last is None else f"From 0 to {last:,}."
        check = partial(_window_number, last=last)
        screen = EditTextScreen(
            "Window of the validation split", number, check, hint, does="reads it"
        )
        self.app.push_screen(screen, self._use_window)

    def _use_window(self, typed: str | None) -> None:
        if typed is not None:
            self.state.show(SplitWindow(_window_number(typed, last=None)))
            self._ask()

    def action_write(self) -> None:
        """Ask for a text."""
        chosen = self.state.refused or self.state.question.text
        value = chosen.text if isinstance(chosen, TypedText) else ""
        screen = EditTextScreen(
            "Text to look at", value, _typed_text, "", several_lines=True, does="reads it"
        )
        self.app.push_screen(screen, self._use_text)

    def _use_text(self, typed: str | None) -> None:
        if typed is not None:
            self.state.show(TypedText(replace_symbols(typed)))
            self._ask()

    def action_pick_checkpoint(self) -> None:
        column = self.state.first
        if column is None or not column.checkpoints:
            return
        current = next((c for c in column.checkpoints if column.source.checkpoint in c.names), None)
        options = checkpoint_rows(column.checkpoints[::-1])
        pick = PickScreen("Checkpoint", options, current.name if current else None)
        self.app.push_screen(pick, self._use_checkpoint)

    def _use_checkpoint(self, name: str | None) -> None:
        column = self.state.first
        if name is None or column is None:
            return
        choice = next(each for each in column.checkpoints if each.name == name)
        self.state.go_to(Source(column.source.run_id, file_of(choice)))
        self._ask()

    def action_beside(self) -> None:
        """Choose what to put beside, or put nothing beside any more."""
        if self.state.is_beside:
            self.state.put_beside(None)
            self._ask()
            return
        column = self.state.first
        if column is None:
            return
        own = column.source.run_id
        options = [
            (f"/{name}", row)
            for name, row in checkpoint_rows(column.checkpoints[::-1])
            if name not in (each.name for each in column.checkpoints if self._is_shown(each.names))
        ]
        runs = list(dict.fromkeys([*self.context.workspace.chosen(), *self.context.snapshot.runs]))
        options += [
            (run_id, Content(f"{self.context.name_of(run_id)} · best checkpoint"))
            for run_id in runs
            if run_id != own
        ]
        if not options:
            self.notify("There is no other checkpoint and no other run.")
            return
        self.app.push_screen(PickScreen("Put beside", options, None), self._use_beside)

    def _is_shown(self, names: tuple[str, ...]) -> bool:
        return self.state.question.sources[0].checkpoint in names

    def _use_beside(self, name: str | None) -> None:
        column = self.state.first
        if name is None or column is None:
            return
        if name.startswith("/"):
            choice = next(each for each in column.checkpoints if each.name == name[1:])
            self.state.put_beside(Source(column.source.run_id, file_of(choice)))
        else:
            self.state.put_beside(Source(name))
        self._ask()

    def action_export(self) -> None:
        answer = self.state.answer
        if answer is None or answer.text is None or self.is_reading:
            self.notify("There is nothing to export yet.")
            return
        questions = self.state.by_run()
        options = [
            (view, Content(f"JSON, {about}{self._of_what(view)}"))
            for view, about in _EXPORTS.items()
            if view != "ablate" or any(each.parts for each in questions)
        ]
        self.app.push_screen(PickScreen("Export", options, "text"), self._export)

    def _of_what(self, view: "InspectView") -> str:
        """Which model an export is about while parts are knocked out."""
        from transformer_playground.inspection.request import ABLATABLE

        parts = self.state.question.parts
        if not parts or view == "ablate":
            return ""
        without = f" without the part{'s' if len(parts) > 1 else ''}"
        return without if view in ABLATABLE else " of the whole model"

    def _export(self, name: str | None) -> None:
        answer = self.state.answer
        view: InspectView | None = next((each for each in _EXPORTS if each == name), None)
        if view is None or answer is None:
            return
        questions = [q for q in self.state.by_run() if view != "ablate" or q.parts]
        for question in questions:
            run_id = f"-{question.sources[0].run_id}" if len(questions) > 1 else ""
            stem = timestamped(f"inspect-{view}{run_id}")
            write = partial(self._service.export, question, answer, view)
            export_in_worker(self, partial(write_new_file, Path.cwd(), stem, "json", write))

    def action_out(self) -> None:
        """End the comparison, else the look inside."""
        if self.state.is_beside:
            self.action_beside()
        else:
            self.dismiss(None)


def _window_number(typed: str, *, last: int | None) -> int:
    """The number of a window.

    Raises:
        UsageError: It is none, or there is no such window.
    """
    number = typed_number(typed)
    if number is None:
        raise UsageError("The number of a window is a whole number from 0 on.")
    if last is not None and number > last:
        raise UsageError(f"There is no window {number:,}: the last one is {last:,}.")
    return number


def _typed_text(typed: str) -> None:
    if not typed:
        raise UsageError("Type at least one character.")
