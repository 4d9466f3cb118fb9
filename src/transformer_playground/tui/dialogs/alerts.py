"""The alerts that were raised: enter goes to the run, other keys dismiss them."""

import time
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from transformer_playground.formatting import moment_text
from transformer_playground.runs.alerts import Alert
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.alert_watch import AlertLog
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.dialogs.base import Dialog

NO_ALERTS = (
    "No alerts. Rules watch every run in training: failures, losses that are not finite, spikes, a \
rising validation loss, half the speed, a full disk."
)


def alert_line(alert: Alert, name: str) -> Content:
    """Time, run and sentence of an alert.

    Args:
        name: What the run is called; empty for the disk.
    """
    when = "" if alert.time is None else f"{moment_text(alert.time, time.time())} "
    step = "" if alert.step is None else f" @ {alert.step:,}"
    return Content.assemble(
        (when, "$text-muted"),
        ("! ", "$warning"),
        (f"{name}{step}: " if name else "", "$text-muted"),
        alert.text,
    )


class AlertsScreen(Dialog[str | None]):
    """Lists alerts, the newest first; closes with the id of the chosen run, or None.

    Args:
        log: The list; alerts that are dismissed are taken off it.
        name_of: What a run is called.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("alerts"), *bindings_for("dialog")]

    def __init__(self, log: AlertLog, name_of: Callable[[str], str]) -> None:
        super().__init__()
        self._alert_log, self._name_of = log, name_of
        # Those of the lines: the log may have changed since they were written.
        self._shown: tuple[Alert, ...] = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="alerts") as dialog:
            dialog.border_title = "Alerts"
            dialog.border_subtitle = (
                f"enter goes to the run · {self.key_hint('alerts.dismiss')} dismisses · "
                f"{self.key_hint('alerts.dismiss_all')} all · "
                f"{self.key_hint('dialog.close')} closes"
            )
            yield OptionList(id="alerts-list")

    def on_mount(self) -> None:
        self._fill(0)
        self._list.focus()
        context_of(self).alerts_changed.subscribe(self, lambda _: self._refill())

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _refill(self) -> None:
        """Show the alerts of now; the highlighted one stays highlighted."""
        chosen, alerts = self._chosen(), self._alert_log.alerts
        place = alerts.index(chosen) if chosen in alerts else self._list.highlighted
        self._fill(place or 0)

    def _fill(self, highlighted: int) -> None:
        alerts = self._shown = self._alert_log.alerts
        lines = [
            Option(alert_line(each, self._name_of(each.run_id) if each.run_id else ""))
            for each in alerts
        ]
        self._list.clear_options()
        self._list.add_options(lines or [Option(Content(NO_ALERTS), disabled=True)])
        if alerts:
            self._list.highlighted = min(highlighted, len(alerts) - 1)

    def _chosen(self) -> Alert | None:
        at = self._list.highlighted
        return self._shown[at] if at is not None and at < len(self._shown) else None

    def on_option_list_option_selected(self) -> None:
        chosen = self._chosen()
        if chosen is not None and chosen.run_id is not None:
            self.dismiss(chosen.run_id)

    def action_dismiss_alert(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            self._alert_log.dismiss(chosen)
            self._fill(self._list.highlighted or 0)

    def action_dismiss_all(self) -> None:
        self._alert_log.dismiss_all()
        self._fill(0)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)
