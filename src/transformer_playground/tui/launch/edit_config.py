"""Text editor for the configuration file of an experiment."""

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static, TextArea

from transformer_playground.encodings import decode_config
from transformer_playground.errors import ConfigError
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.launch.service import ConfigChangedError, save_config


class EditConfigScreen(Dialog[bool]):
    """Closes with True after saving, otherwise with False.

    Saving validates the whole configuration and warns before it overwrites a change made elsewhere.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for("dialog"),
        *bindings_for("edit", "edit.save"),
        *bindings_for("edit", "edit.reload"),
    ]

    def __init__(self, experiments_dir: Path, experiment: str, path: Path) -> None:
        super().__init__()
        self._experiments_dir, self._experiment, self._path = experiments_dir, experiment, path
        self._seen = ""
        self._close_confirmed = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="edit-config") as dialog:
            dialog.border_title = Content(visible_line(f"{self._experiment}/{self._path.name}"))
            dialog.border_subtitle = (
                f"{self.key_hint('edit.save')} saves · {self.key_hint('edit.reload')} reloads"
                f" · {self.key_hint('dialog.close')} closes"
            )
            yield TextArea(id="config-text", show_line_numbers=True)
            yield Static("", id="edit-problem", classes="error", markup=False)

    def on_mount(self) -> None:
        self._load()
        self.query_one("#config-text").focus()

    def on_text_area_changed(self) -> None:
        self._close_confirmed = False

    def action_save(self) -> None:
        try:
            save_config(self._experiments_dir, self._experiment, self._path, self._text, self._seen)
        except ConfigChangedError as error:
            # The user has seen the change now; saving again overwrites it.
            self._seen = error.text
            self._show_problem(f"{error}\n{_difference(self._text, error.text)}")
        except ConfigError as error:
            self._show_problem(str(error))
        else:
            self.dismiss(True)

    def action_reload(self) -> None:
        self._load()

    def action_dismiss_dialog(self) -> None:
        """Close; with unsaved changes only the second time."""
        if self._text != self._seen and not self._close_confirmed:
            self._close_confirmed = True
            save, close = self.key_hint("edit.save"), self.key_hint("dialog.close")
            self._show_problem(f"Not saved. {close} again discards the changes, {save} saves them.")
            return
        self.dismiss(False)

    @property
    def _text(self) -> str:
        return self.query_one("#config-text", TextArea).text

    def _load(self) -> None:
        try:
            self._seen = decode_config(self._path.read_bytes(), self._path.name)
        except OSError as error:
            self._show_problem(f"{self._path.name} cannot be read: {error.strerror}.")
            return
        except ConfigError as error:
            self._show_problem(str(error))
            return
        self.query_one("#config-text", TextArea).load_text(self._seen)
        self._show_problem("")

    def _show_problem(self, problem: str) -> None:
        self.query_one("#edit-problem", Static).update(Content(visible(problem)))


def _difference(ours: str, theirs: str) -> str:
    """First line in which the file differs from the text."""
    pairs = zip(ours.splitlines(), theirs.splitlines(), strict=False)
    for number, (mine, other) in enumerate(pairs, start=1):
        if mine != other:
            return f"Line {number} of the file: {other}"
    return "The file has more or fewer lines."
