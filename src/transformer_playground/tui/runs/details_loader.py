"""Feeds the pane of details: what lists know at once, what files say as soon as they are read."""

import time
from collections.abc import Callable, Mapping, Sequence

from transformer_playground.experiments.discovery import Experiment
from transformer_playground.runs.fields import RunInfo
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.runs.details_pane import RunDetails
from transformer_playground.tui.runs.details_state import (
    SECTIONS,
    RunFacts,
    Section,
    read_facts,
    stamp,
)
from transformer_playground.tui.runs.details_text import (
    Line,
    experiment_overview,
    log_lines,
    run_overview,
    sample_lines,
    settings_lines,
)
from transformer_playground.tui.runs.experiments_state import ExperimentFacts, ExperimentReader

_OF_EXPERIMENT: tuple[Section, ...] = ("overview", "settings")
# Whoever runs down the list with a key held does not want each run's files read.
_REST_SECONDS = 0.12

_Subject = tuple[str, Section]


class DetailsFeed:
    """Reads files in threads and shows what they say.

    Args:
        context: State shared by the views.
        changed: Called when there is more to show than before.
    """

    def __init__(self, context: AppContext, changed: Callable[[], None]) -> None:
        self._context, self._changed = context, changed
        self._section: Section = "overview"
        self._reader = ExperimentReader(context.experiments_dir)
        self.facts: Mapping[str, ExperimentFacts] = {}
        self._is_reading_experiments = False
        self._run_facts: RunFacts | None = None
        self._stamp: tuple[float, ...] = ()
        self._wanted: _Subject | None = None
        self._reading: _Subject | None = None

    def choose(self, section: str) -> None:
        """Show this section from now on."""
        if section in SECTIONS:
            self._section = section

    def step(self, by: int) -> None:
        """Show the section `by` further on."""
        self._section = SECTIONS[(SECTIONS.index(self._section) + by) % len(SECTIONS)]

    def show_run(self, pane: RunDetails, row: RunInfo | None, baseline: RunInfo | None) -> None:
        """Show the chosen section of a run."""
        if row is None:
            self._wanted = None
            pane.show("Details", (), "", ())
            return
        self._wanted = (row.run_id, self._section)
        self._read_if_needed()
        facts = self._run_facts
        if facts is not None and (facts.run_id, facts.section) != self._wanted:
            facts = None
        lines = self._run_lines(row, facts, baseline, pane.text_width)
        pane.show(row.run_id, SECTIONS, self._section, lines)

    def show_experiment(self, pane: RunDetails, name: str | None) -> None:
        """Show the chosen section of an experiment."""
        self._wanted = None
        if name is None:
            pane.show("Details", (), "", ())
            return
        section: Section = self._section if self._section in _OF_EXPERIMENT else "overview"
        facts = self.facts.get(name)
        if section == "settings" and facts is not None and facts.settings:
            lines = settings_lines(facts.settings, facts.provenance)
        else:
            lines = experiment_overview(facts)
        pane.show(name, _OF_EXPERIMENT, section, lines)

    def look(self, experiments: Sequence[Experiment], done: Callable[[], None]) -> None:
        """Read experiments whose files have changed, then call `done` if anything is new."""
        if self._is_reading_experiments:
            return
        self._is_reading_experiments = True

        def read() -> None:
            try:
                facts = self._reader.read(experiments)
            finally:
                self._is_reading_experiments = False
            self._context.app.call_from_thread(take, facts)

        def take(facts: dict[str, ExperimentFacts]) -> None:
            if facts != self.facts:
                self.facts = facts
                done()

        self._context.app.run_worker(read, group="experiments", thread=True, exit_on_error=False)

    def _run_lines(
        self, row: RunInfo, facts: RunFacts | None, baseline: RunInfo | None, width: int
    ) -> list[Line]:
        match self._section:
            case "overview":
                return run_overview(row, facts, baseline, width, time.time())
            case "settings":
                return settings_lines(row.settings, facts.provenance if facts else {})
            case "samples":
                return sample_lines(facts) if facts else []
            case "log":
                return log_lines(facts) if facts else []

    def _read_if_needed(self) -> None:
        """Read what is wanted once the cursor rests; files that have not changed stay unread."""
        if self._reading is not None or self._wanted is None:
            return
        wanted = self._reading = self._wanted
        facts = self._run_facts
        is_shown = facts is not None and (facts.run_id, facts.section) == wanted
        known = self._stamp if is_shown else None
        self._context.app.set_timer(_REST_SECONDS, lambda: self._start(wanted, known))

    def _start(self, wanted: _Subject, known: tuple[float, ...] | None) -> None:
        if self._wanted != wanted:
            self._reading = None
            self._read_if_needed()
            return
        runs_dir = self._context.runs_dir

        def read() -> None:
            current = stamp(runs_dir, *wanted)
            facts = None if current == known else read_facts(runs_dir, *wanted)
            self._context.app.call_from_thread(self._take, wanted, facts, current)

        self._context.app.run_worker(read, group="details", thread=True, exit_on_error=False)

    def _take(self, wanted: _Subject, facts: RunFacts | None, current: tuple[float, ...]) -> None:
        self._reading = None
        if facts is not None:
            self._stamp = current
            is_other = facts != self._run_facts
            self._run_facts = facts
            if is_other:
                self._changed()
        if self._wanted != wanted:
            self._read_if_needed()
