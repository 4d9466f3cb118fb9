"""An experiment's configuration file to edit as it is, comments and all."""

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static, TextArea

from transformer_playground.errors import ConfigError
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.launch.service import ChangedMeanwhileError, save_config


class EditConfigScreen(Dialog[bool]):
    """Closes with True after saving, with False when nothing was changed.

    Saving checks the whole configuration first and never writes over another's change unseen.

    Args:
        experiments_dir: Folder of experiments.
        experiment: Whose file it is.
        path: The file.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("dialog"), *bindings_for("edit")]

    def __init__(self, experiments_dir: Path, experiment: str, path: Path) -> None:
        super().__init__()
        self._experiments_dir, self._experiment, self._path = experiments_dir, experiment, path
        self._seen = ""
        self._leaving = False

    def compose(self) -> ComposeResult:
        """The text above what is wrong with it."""
        with Vertical(classes="dialog", id="edit-config") as dialog:
            dialog.border_title = Content(visible_line(f"{self._experiment}/{self._path.name}"))
            dialog.border_subtitle = "ctrl+s saves · ctrl+r reloads · esc closes"
            yield TextArea(id="config-text", show_line_numbers=True)
            yield Static("", id="edit-problem", classes="error", markup=False)

    def on_mount(self) -> None:
        """Read the file."""
        self._load()
        self.query_one("#config-text").focus()

    def on_text_area_changed(self) -> None:
        """Typing on means not leaving."""
        self._leaving = False

    def action_save(self) -> None:
        """Check and write the file; close if that went well."""
        try:
            save_config(self._experiments_dir, self._experiment, self._path, self._text, self._seen)
        except ChangedMeanwhileError as error:
            # Saving once more is a decision made in knowledge of the change.
            self._seen = error.text
            self._say(f"{error}\n{_difference(self._text, error.text)}")
        except ConfigError as error:
            self._say(str(error))
        else:
            self.dismiss(True)

    def action_reload(self) -> None:
        """Take what the file holds now."""
        self._load()

    def action_dismiss_dialog(self) -> None:
        """Close; unsaved changes are thrown away at the second time."""
        if self._text != self._seen and not self._leaving:
            self._leaving = True
            self._say("Not saved. Esc again throws the changes away, ctrl+s saves them.")
            return
        self.dismiss(False)

    @property
    def _text(self) -> str:
        return self.query_one("#config-text", TextArea).text

    def _load(self) -> None:
        try:
            self._seen = self._path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self._say(f"{self._path.name} cannot be read: {error}")
            return
        self.query_one("#config-text", TextArea).load_text(self._seen)
        self._say("")

    def _say(self, sentence: str) -> None:
        self.query_one("#edit-problem", Static).update(Content(visible(sentence)))


def _difference(ours: str, theirs: str) -> str:
    """The first line in which the file now differs from the text."""
    pairs = zip(ours.splitlines(), theirs.splitlines(), strict=False)
    for number, (mine, other) in enumerate(pairs, start=1):
        if mine != other:
            return f"line {number} there: {other}"
    return "it is longer or shorter there"
