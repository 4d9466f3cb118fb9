"""Sequential comparison: seeds are added until the best combination is clear, or none are left."""

from collections.abc import Sequence
from dataclasses import replace

from transformer_playground.comparison.significance import LEVEL
from transformer_playground.sweeps.results import block_tests, loss_of, rejections
from transformer_playground.sweeps.trials import TrialState


def stop_when_clear(states: Sequence[TrialState], seeds: Sequence[int]) -> list[TrialState]:
    """The states with the seeds that are not needed "pruned", and later ones waiting.

    After each seed from the second on, the best combination is compared with all others (see
    `block_tests`). It is clear if all differences are significant at `LEVEL` divided by the number
    of such looks (Bonferroni), so that looking often does not make chance findings likelier.
    """
    groups: dict[str, dict[int, TrialState]] = {}
    for state in states:
        groups.setdefault(repr(state.trial.values), {})[state.trial.seed] = state
    looks = max(1, len(seeds) - 1)
    for count in range(1, len(seeds) + 1):
        known, later = seeds[:count], set(seeds[count:])
        if any(
            group[seed].state in ("open", "running") for group in groups.values() for seed in known
        ):
            return [replace(each, waits=each.trial.seed in later) for each in states]
        rows = [[loss_of(group[seed]) for seed in known] for group in groups.values()]
        complete = [[loss for loss in row if loss is not None] for row in rows if None not in row]
        p_values = block_tests(sorted(complete, key=sum))
        if p_values and rejections(p_values, LEVEL / looks) == len(p_values):
            return [
                replace(each, state="pruned")
                if each.trial.seed in later and each.state == "open"
                else each
                for each in states
            ]
    return list(states)
