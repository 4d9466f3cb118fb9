"""What the four views have in common."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Static

from transformer_playground.tui.widgets.key_bar import KeyBar
from transformer_playground.tui.widgets.top_bar import TopBar

if TYPE_CHECKING:
    from transformer_playground.tui.app import Console


class View(Screen[None]):
    """A full screen with the top bar, a body and the keys at the bottom.

    A view that is not on show does nothing when things change; `refresh_view` brings it up to date
    when it comes back.
    """

    NAME: ClassVar[str]

    def compose(self) -> ComposeResult:
        """The frame around what `compose_body` yields."""
        # Set before there are widgets, so that they need not be styled a second time.
        self._fit(*self.app.size)
        yield TopBar(self.NAME)
        with Container(id="body"):
            yield from self.compose_body()
        yield Static("too small: needs 60 x 16", id="too-small", markup=False)
        yield KeyBar()

    def _fit(self, width: int, height: int) -> None:
        for room, breakpoints in (
            (width, self.app.HORIZONTAL_BREAKPOINTS),
            (height, self.app.VERTICAL_BREAKPOINTS),
        ):
            names = [name for least, name in sorted(breakpoints or ()) if room >= least]
            self.add_class(*names[-1:])

    def compose_body(self) -> ComposeResult:
        """What the view shows."""
        raise NotImplementedError

    def refresh_view(self) -> None:
        """Show what has changed while the view was away; called each time it comes on show."""

    @property
    def console(self) -> "Console":
        """The app, by its own type."""
        return cast("Console", self.app)

    def on_mount(self) -> None:
        """Follow what the app publishes."""
        self.console.catalog_changed.subscribe(self, self._when_shown)
        self.console.choice_changed.subscribe(self, self._when_shown)
        self.console.activity_changed.subscribe(self, self._show_activity)

    def on_screen_resume(self) -> None:
        """Catch up."""
        self._show_activity(self.console.activity)
        self.refresh_view()

    def _when_shown(self, _: object) -> None:
        if self.is_current:
            self.refresh_view()

    def _show_activity(self, activity: str) -> None:
        self.query_one(TopBar).activity = activity
