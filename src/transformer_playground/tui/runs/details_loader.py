"""Details loader: shows cached fields at once, and the rest when its files have been read."""

import time
from collections.abc import Callable, Mapping, Sequence

from transformer_playground.experiments.discovery import Experiment
from transformer_playground.runs.fields import RunInfo
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.runs.details_pane import RunDetails
from transformer_playground.tui.runs.details_state import (
    SECTIONS,
    ExperimentDetails,
    ExperimentReader,
    RunSectionData,
    Section,
    modification_times,
    read_section,
)
from transformer_playground.tui.runs.details_text import (
    Line,
    experiment_overview,
    log_lines,
    run_overview,
    sample_lines,
    settings_lines,
)

_OF_EXPERIMENT: tuple[Section, ...] = ("overview", "settings")
# Files are read only when the cursor rests, not for each run that it passes.
_REST_SECONDS = 0.12

_Subject = tuple[str, Section]


class DetailsLoader:
    """Reads details in threads and shows them in the pane.

    Args:
        changed: Called when new details can be shown.
    """

    def __init__(self, context: AppContext, changed: Callable[[], None]) -> None:
        self._context, self._changed = context, changed
        self._section: Section = "overview"
        self._reader = ExperimentReader(context.experiments_dir)
        self.experiments: Mapping[str, ExperimentDetails] = {}
        self._is_reading_experiments = False
        self._run_data: RunSectionData | None = None
        self._times: tuple[float, ...] = ()
        self._wanted: _Subject | None = None
        self._reading: _Subject | None = None

    def set_section(self, section: str) -> None:
        if section in SECTIONS:
            self._section = section

    def next_section(self, by: int) -> None:
        self._section = SECTIONS[(SECTIONS.index(self._section) + by) % len(SECTIONS)]

    def show_run(self, pane: RunDetails, row: RunInfo | None, baseline: RunInfo | None) -> None:
        if row is None:
            self._wanted = None
            pane.show("Details", (), "", ())
            return
        self._wanted = (row.run_id, self._section)
        self._read_if_needed()
        details = self._run_data
        if details is not None and (details.run_id, details.section) != self._wanted:
            details = None
        lines = self._run_lines(row, details, baseline, pane.text_width)
        name = self._context.name_of(row.run_id)
        title = name if name == row.run_id else f"{name} · {row.run_id}"
        pane.show(title, SECTIONS, self._section, lines)

    def show_experiment(self, pane: RunDetails, name: str | None) -> None:
        self._wanted = None
        if name is None:
            pane.show("Details", (), "", ())
            return
        section: Section = self._section if self._section in _OF_EXPERIMENT else "overview"
        details = self.experiments.get(name)
        if section == "settings" and details is not None and details.settings:
            lines = settings_lines(details.settings, details.provenance)
        else:
            lines = experiment_overview(details, key_hint("runs.open", self._context.keymap))
        pane.show(name, _OF_EXPERIMENT, section, lines)

    def read_experiments(self, experiments: Sequence[Experiment], done: Callable[[], None]) -> None:
        """Read changed experiments, then call `done` if there were any."""
        if self._is_reading_experiments:
            return
        self._is_reading_experiments = True

        def read() -> None:
            try:
                details = self._reader.read(experiments)
            finally:
                self._is_reading_experiments = False
            self._context.app.call_from_thread(take, details)

        def take(details: dict[str, ExperimentDetails]) -> None:
            if details != self.experiments:
                self.experiments = details
                done()

        self._context.app.run_worker(read, group="experiments", thread=True, exit_on_error=False)

    def _run_lines(
        self, row: RunInfo, details: RunSectionData | None, baseline: RunInfo | None, width: int
    ) -> list[Line]:
        match self._section:
            case "overview":
                name = self._context.name_of
                return run_overview(row, details, baseline, width, time.time(), name)
            case "settings":
                return settings_lines(row.settings, details.provenance if details else {})
            case "samples":
                return sample_lines(details) if details else []
            case "log":
                return log_lines(details) if details else []

    def _read_if_needed(self) -> None:
        """Read the wanted section once the cursor rests, unless its files have not changed."""
        if self._reading is not None or self._wanted is None:
            return
        wanted = self._reading = self._wanted
        details = self._run_data
        is_shown = details is not None and (details.run_id, details.section) == wanted
        known = self._times if is_shown else None
        self._context.app.set_timer(_REST_SECONDS, lambda: self._start(wanted, known))

    def _start(self, wanted: _Subject, known: tuple[float, ...] | None) -> None:
        if self._wanted != wanted:
            self._reading = None
            self._read_if_needed()
            return
        runs_dir = self._context.runs_dir

        def read() -> None:
            current = modification_times(runs_dir, *wanted)
            details = None if current == known else read_section(runs_dir, *wanted)
            self._context.app.call_from_thread(self._set_data, wanted, details, current)

        self._context.app.run_worker(read, group="details", thread=True, exit_on_error=False)

    def _set_data(
        self, wanted: _Subject, data: RunSectionData | None, current: tuple[float, ...]
    ) -> None:
        self._reading = None
        if data is not None:
            self._times = current
            is_other = data != self._run_data
            self._run_data = data
            if is_other:
                self._changed()
        if self._wanted != wanted:
            self._read_if_needed()
