"""Sequential comparison: when seeds are left out, and how often by chance."""

import random
from collections.abc import Callable

from builders.runs import run_info
from transformer_playground.sweeps.sequential import stop_when_clear
from transformer_playground.sweeps.trials import Trial, TrialState

SEEDS = (1, 2, 3, 4, 5)
Loss = Callable[[str, int], float]


def trial(norm: str, seed: int, loss: float | None, state: str = "finished") -> TrialState:
    """A trial with this loss; None = it is open."""
    made = Trial(0, (("model.norm", norm),), seed, f"s-{norm}-{seed}")
    if loss is None:
        return TrialState(made, "open")
    row = run_info(made.run_id, state, best_val_loss=loss)
    return TrialState(made, "failed" if state == "failed" else "finished", row)


def trained(loss: Loss, seeds: int, names: str = "ab") -> list[TrialState]:
    """All trials, of which the first seeds are finished."""
    return [
        trial(name, seed, loss(name, seed) if seed <= seeds else None)
        for name in names
        for seed in SEEDS
    ]


def clear(name: str, seed: int) -> float:
    """Losses far apart, with little noise."""
    return 2.0 + (name == "b") + 0.1 * seed + 0.001 * ((seed * ord(name)) % 3)


def same(name: str, seed: int) -> float:
    """Losses of which none is better."""
    return 2.0 + 0.1 * ((seed * ord(name)) % 3)


def test_seeds_are_trained_one_after_the_other() -> None:
    states = stop_when_clear(trained(clear, 0), SEEDS)

    assert {each.trial.seed for each in states if not each.waits} == {1}
    half = trained(clear, 1)
    half[0] = trial("a", 1, None)
    assert {each.trial.seed for each in stop_when_clear(half, SEEDS) if not each.waits} == {1}


def test_a_clear_winner_needs_no_further_seeds() -> None:
    states = stop_when_clear(trained(clear, 3), SEEDS)

    assert {each.trial.seed for each in states if each.state == "pruned"} == {4, 5}
    assert not any(each.state == "open" for each in states)


def test_without_a_winner_all_seeds_are_trained() -> None:
    assert {
        each.trial.seed for each in stop_when_clear(trained(same, 4), SEEDS) if each.waits
    } == set()
    assert all(each.state == "finished" for each in stop_when_clear(trained(same, 5), SEEDS))


def test_a_failed_run_takes_its_combination_out_of_the_comparison() -> None:
    states = trained(clear, 3, "abc")
    states[10] = trial("c", 1, 9.0, "failed")

    assert {
        each.trial.seed for each in stop_when_clear(states, SEEDS) if each.state == "pruned"
    } == {
        4,
        5,
    }


def test_equal_combinations_are_called_clear_in_at_most_one_percent() -> None:
    generator, wrong = random.Random(5), 0
    for _ in range(400):
        losses = {(name, seed): generator.gauss(0, 1) for name in "ab" for seed in SEEDS}
        # A winner is clear after any number of seeds.
        wrong += any(pruned_seeds(losses, count) for count in range(2, len(SEEDS)))

    assert wrong <= 9


def pruned_seeds(losses: dict[tuple[str, int], float], seeds: int) -> set[int]:
    """Seeds that are left out after so many."""
    states = stop_when_clear(trained(lambda *key: losses[key], seeds), SEEDS)
    return {each.trial.seed for each in states if each.state == "pruned"}
