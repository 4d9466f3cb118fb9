import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.rng import derived_seed, seed_dropout
from transformer_playground.training.state import TrainingState

CPU = torch.device("cpu")


def record_all(losses: list[float], min_delta: float = 0.0) -> tuple[list[bool], TrainingState]:
    state = TrainingState()
    verdicts = []
    for step, loss in enumerate(losses):
        state.step = step
        verdicts.append(state.record_eval(loss, "windows", min_delta=min_delta))
    return verdicts, state


def test_only_a_lower_loss_is_a_new_best() -> None:
    verdicts, state = record_all([3.0, 2.0, 2.0, 2.5, 1.9])
    assert verdicts == [True, True, False, False, True]
    assert (state.best_val_loss, state.best_step) == (1.9, 4)


def test_evaluations_without_improvement_are_counted_and_reset() -> None:
    assert record_all([3.0, 2.0, 2.1, 2.2])[1].evaluations_without_improvement == 2
    assert record_all([3.0, 2.0, 2.1, 1.0])[1].evaluations_without_improvement == 0


def test_an_improvement_below_min_delta_is_best_but_does_not_count() -> None:
    verdicts, state = record_all([2.0, 1.99, 1.98], min_delta=0.1)
    assert verdicts == [True, True, True]
    assert state.evaluations_without_improvement == 2


def test_small_improvements_that_add_up_to_min_delta_count() -> None:
    _, state = record_all([2.0, 1.96, 1.92, 1.88], min_delta=0.1)
    assert state.evaluations_without_improvement == 0


def test_seeds_differ_by_run_purpose_and_step() -> None:
    seeds = [
        derived_seed(seed, purpose, step)
        for seed, purpose, step in itertools.product(
            range(5), ("initialisation", "dropout", "sample"), range(50)
        )
    ]
    assert len(set(seeds)) == len(seeds)


@given(seed=st.integers(0, 2**40), step=st.integers(0, 10**9))
def test_derived_seeds_fit_every_torch_generator(seed: int, step: int) -> None:
    assert 0 <= derived_seed(seed, "dropout", step) < 2**63


def test_dropout_depends_on_the_step_alone() -> None:
    seed_dropout(1, 7, CPU)
    first = torch.rand(4)
    torch.rand(100)
    seed_dropout(1, 7, CPU)
    assert torch.equal(torch.rand(4), first)
    seed_dropout(1, 8, CPU)
    assert not torch.equal(torch.rand(4), first)


def test_no_two_processes_or_micro_steps_read_the_same_batch() -> None:
    size, world_size = 4, 3
    seen = [
        DistInfo(rank, world_size=world_size).first_window(step * size * world_size, size) + window
        for rank, step, window in itertools.product(range(world_size), range(20), range(size))
    ]
    assert sorted(seen) == list(range(20 * size * world_size))


def test_a_best_loss_on_other_windows_does_not_count() -> None:
    state = TrainingState()
    assert state.record_eval(2.0, "240 windows", min_delta=0.0)
    state.step = 5
    assert state.judges_other_windows("100 windows")
    assert state.record_eval(2.5, "100 windows", min_delta=0.0)
    assert (state.best_val_loss, state.best_step) == (2.5, 5)
    assert not state.judges_other_windows("100 windows")
