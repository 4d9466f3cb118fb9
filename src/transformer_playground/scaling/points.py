"""Losses of a family's runs on the whole validation split, as points of a law."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.comparison.estimates import Estimate, estimate
from transformer_playground.comparison.windows import measure_windows
from transformer_playground.runs.folder import RunFolder
from transformer_playground.scaling.family import Member
from transformer_playground.scaling.law import Point
from transformer_playground.sweeps.trials import TrialState


@dataclass(frozen=True)
class Result:
    """What became of one member of a family.

    Attributes:
        loss: Mean over the finished seeds on the whole validation split, in nats per token.
        losses: Of each of them.
        runs: Their ids, in the same order.
        planned: Number of seeds.
        running: Number of seeds in training.
        is_overfit: Whether some run was best before its end, so that more tokens did not help.
    """

    member: Member
    loss: Estimate
    losses: tuple[float, ...]
    runs: tuple[str, ...]
    planned: int
    is_overfit: bool = False
    running: int = 0

    @property
    def point(self) -> Point | None:
        """The point of a law; None without a finished run."""
        if self.loss.mean is None:
            return None
        logs = list(map(math.log, self.losses))
        error = estimate(logs).standard_error
        count = len(logs)
        spread = None if error is None else error * math.sqrt(count)
        parameters = self.member.shape.parameters
        # On the logarithmic scale of the law.
        mean = math.exp(math.fsum(logs) / count)
        return Point(parameters, self.member.tokens, mean, spread, count)


def read_results(
    members: Sequence[Member],
    states: Sequence[TrialState],
    runs_dir: Path,
    experiments_dir: Path,
    progress: Callable[[str], object] = lambda _: None,
) -> list[Result]:
    """The results of members, each of which has as many trials as there are seeds.

    A run that ended before its last step has not seen its budget and is left out. The others are
    measured as `tp compare --paired` does: their best checkpoint, once, and the losses are kept in
    their folders.

    Args:
        progress: Called with a sentence before each evaluation, and for each run left out.

    Raises:
        PlaygroundError: A run has no intact checkpoint, or its dataset is not found.
    """
    seeds = len(states) // len(members)
    found = []
    for place, member in enumerate(members):
        own = states[place * seeds : (place + 1) * seeds]
        rows = []
        for state in own:
            if state.state != "finished" or state.row is None:
                continue
            summary = state.row.summary
            last = max(summary.train_step or 0, summary.eval_step or 0)
            if last < member.steps:
                progress(
                    f"{state.row.run_id} ended after {last} of {member.steps} steps and is left out"
                )
            else:
                rows.append(state.row)
        losses = []
        for row in rows:
            progress(f"reading {row.run_id}")
            windows = measure_windows(RunFolder(runs_dir / row.run_id), experiments_dir)
            # Without a request to cancel there is always a result.
            assert windows is not None
            losses.append(float(windows.sums.sum() / max(1, windows.targets.sum())))
        is_overfit = any(
            row.summary.best_step is not None and row.summary.best_step < member.steps
            for row in rows
        )
        ids = tuple(row.run_id for row in rows)
        running = sum(state.state == "running" for state in own)
        found.append(
            Result(member, estimate(losses), tuple(losses), ids, seeds, is_overfit, running)
        )
    return found
