"""Which runs the grid shows, in which order, and which of them has the focus."""

from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.snapshot import Snapshot
from transformer_playground.tui.core.workspace import run_in_focus, runs_to_show
from transformer_playground.tui.grid.grid_state import GridState, Order, in_order


class ShownRuns:
    """By run the selected runs, or all without a selection; by quantity those that Live shows."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        # The last result of `_in_order`, which each drawing asks for.
        self._ordered: tuple[Snapshot | None, object, tuple[str, ...]] = None, None, ()

    @property
    def is_selection(self) -> bool:
        """Whether the user selected runs."""
        return bool(self._context.workspace.selected)

    def wanted(self, state: GridState) -> list[str]:
        """All of them, of which the first ones have charts."""
        workspace, known = self._context.workspace, [*self._context.snapshot.runs]
        if state.mode == "quantities":
            return [*runs_to_show(workspace, known)]
        return workspace.chosen() if workspace.selected else known

    def shown(self, state: GridState) -> tuple[str, ...]:
        """Those with charts or curves, in their order."""
        return self._in_order(self.wanted(state), state.order)

    def focus(self, state: GridState) -> str | None:
        """The run of the selected chart; by quantity the one in front of the others."""
        runs = self.shown(state)
        if state.mode == "quantities":
            return run_in_focus(runs, self._context.workspace)
        return runs[state.index(runs)] if runs else None

    def choose(self, run_id: str) -> None:
        """Give a run the focus of all views; without a selection it is the one that they show."""
        if self.is_selection:
            self._context.workspace.opened = run_id
        else:
            self._context.publish_workspace(current=run_id, opened=True)

    def choose_next(self, state: GridState, by: int) -> None:
        """Choose another one of the runs whose quantities are shown; of all without a selection."""
        focus = self.focus(state)
        runs = self.shown(state) if self.is_selection else self._all(state)
        if runs:
            place = runs.index(focus) if focus in runs else 0
            self.choose(runs[(place + by) % len(runs)])

    def select_all(self, state: GridState) -> None:
        """Select all runs, as many as can have charts."""
        selected = self._context.workspace.selected
        selected += [run_id for run_id in self._all(state) if run_id not in selected]
        self._context.publish_workspace()

    def unselect_all(self, state: GridState) -> None:
        """By quantity the run in front stays."""
        focus = self.focus(state) if state.mode == "quantities" else None
        self._context.workspace.selected.clear()
        self._context.publish_workspace(current=focus, opened=focus is not None)

    def _all(self, state: GridState) -> tuple[str, ...]:
        return self._in_order([*self._context.snapshot.runs], state.order)

    def _in_order(self, wanted: list[str], order: Order) -> tuple[str, ...]:
        snapshot = self._context.snapshot
        if self._ordered[0] is not snapshot or self._ordered[1] != (order, wanted):

            def loss_of(run_id: str) -> float | None:
                row = snapshot.runs.get(run_id)
                return row.summary.best_val_loss if row else None

            found = in_order(wanted, order, loss_of, self._context.name_of)
            self._ordered = snapshot, (order, wanted), found
        return self._ordered[2]
