"""Base class of the views, with its top bar, and how views style their lines."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.core.alert_watch import AlertLog
from transformer_playground.tui.core.context import AppContext, context_of
from transformer_playground.tui.core.workspace import focus_of
from transformer_playground.tui.shared.key_bar import KeyBar

VIEWS = (
    ("1", "runs", "Runs"),
    ("2", "live", "Live"),
    ("3", "sample", "Sample"),
    ("4", "compare", "Compare"),
    ("5", "grid", "Grid"),
    ("6", "model", "Model"),
    ("7", "data", "Data"),
    ("8", "machine", "Machine"),
    ("9", "sweep", "Sweep"),
)
"""Key, name and title of each view."""
_NAME = " tp "

_Tone = TypeVar("_Tone", bound=str)

KeyRank = Literal["first", "shown", "hidden"]
"""Place of a key in the key bar."""


def styled_lines(
    lines: Iterable[Iterable[tuple[str, _Tone]]], styles: Mapping[_Tone, str]
) -> Content:
    """Lines of texts, each text in the style of its tone."""
    return Content("\n").join(
        Content.assemble(*((text, styles[tone]) for text, tone in line)) for line in lines
    )


class TopBar(Widget):
    """Tabs of the views, the active one highlighted; alerts and training activity at the right."""

    activity: reactive[str] = reactive("")
    alerts: reactive[int] = reactive(0)

    def __init__(self, view: str) -> None:
        super().__init__(id="top-bar")
        self._view = view
        self._tabs: list[str] = []

    def render(self) -> Content:
        alerts = Content("")
        if self.alerts:
            word = "alert" if self.alerts == 1 else "alerts"
            alerts = Content.styled(f"! {self.alerts} {word}  ", "bold $warning")
        activity = Content(visible_line(self.activity))
        self._tabs = self._fitting_tabs(alerts.cell_length + activity.cell_length + 2)
        tabs = [
            (text, "bold reverse" if view == self._view else "")
            for text, (_, view, _) in zip(self._tabs, VIEWS, strict=True)
        ]
        left = Content.assemble((_NAME, "bold $primary"), *tabs)
        space = max(0, self.size.width - left.cell_length - alerts.cell_length - 2)
        activity = activity.truncate(space, ellipsis=True)
        used = left.cell_length + alerts.cell_length + activity.cell_length
        gap = max(1, self.size.width - used - 1)
        return Content.assemble(left, " " * gap, alerts, activity.stylize("$accent"))

    def on_click(self, event: events.Click) -> None:
        start = len(_NAME)
        for text, (_, view, _) in zip(self._tabs, VIEWS, strict=True):
            end = start + len(text)
            if start <= event.x < end:
                self.app.run_worker(self.app.run_action(f"view('{view}')"))
            start = end

    def _fitting_tabs(self, needed: int) -> list[str]:
        """The widest texts of the tabs that leave `needed` columns, else their keys alone."""
        space = self.size.width - len(_NAME) - needed
        wide = [f" {key} {title} " for key, _, title in VIEWS]
        tight = [text.rstrip() for text in wide]
        keys = [
            f" {key} {title} " if view == self._view else f" {key}" for key, view, title in VIEWS
        ]
        return next((tabs for tabs in (wide, tight) if len("".join(tabs)) <= space), keys)


class View(Screen[None]):
    """A full screen with the top bar, a body and the keys at the bottom.

    A hidden view ignores changes; `refresh_view` updates it when it is shown again.
    """

    NAME: ClassVar[str]

    def compose(self) -> ComposeResult:
        # Set before there are widgets, to avoid styling them twice.
        self._fit(*self.app.size)
        yield TopBar(self.NAME)
        with Container(id="body"):
            yield from self.compose_body()
        yield Static("too small: needs 60 x 16", id="too-small", markup=False)
        yield KeyBar()

    def _fit(self, width: int, height: int) -> None:
        for size, breakpoints in (
            (width, self.app.HORIZONTAL_BREAKPOINTS),
            (height, self.app.VERTICAL_BREAKPOINTS),
        ):
            names = [name for least, name in sorted(breakpoints or ()) if size >= least]
            self.add_class(*names[-1:])

    def compose_body(self) -> ComposeResult:
        raise NotImplementedError

    def in_key_bar(self, action: str) -> KeyRank:
        """Where the key bar shows the key of an action that it may show."""
        return "shown"

    def key_label(self, action: str, label: str) -> str:
        """What the key bar calls a key now; `label` is what it is called usually."""
        return label

    def refresh_view(self) -> None:
        """Show all changes since the view was hidden; called each time it is shown."""

    @property
    def context(self) -> AppContext:
        return context_of(self)

    @property
    def run_shown(self) -> str | None:
        """The run that commands on one run act on: the one that the view shows."""
        return focus_of(self.context.workspace, [*self.context.snapshot.runs])

    def key_hint(self, binding_id: str) -> str:
        """The key of a binding as a hint shows it, with the user's keymap applied."""
        return key_hint(binding_id, self.context.keymap)

    def on_mount(self) -> None:
        self.context.snapshot_changed.subscribe(self, self._when_shown)
        self.context.workspace_changed.subscribe(self, self._when_shown)
        self.context.activity_changed.subscribe(self, self._show_activity)
        self.context.alerts_changed.subscribe(self, self._show_alerts)

    def on_screen_resume(self) -> None:
        self._show_activity(self.context.activity)
        self._show_alerts(self.context.alerts)
        self.refresh_view()

    def _compositor_refresh(self) -> None:
        # Within a batch Textual would render the view and not display it.
        if not self.app._batch_count:
            super()._compositor_refresh()

    def _when_shown(self, _: object) -> None:
        if self.is_current:
            self.refresh_view()

    def _show_activity(self, activity: str) -> None:
        self.query_one(TopBar).activity = activity

    def _show_alerts(self, log: AlertLog) -> None:
        self.query_one(TopBar).alerts = len(log.alerts)
