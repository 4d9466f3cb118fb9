"""Results: order, effects and verdicts, on losses with a known truth."""

import random

import pytest

from builders.sweeps import trial_state
from transformer_playground.sweeps.axes import Axis, Choices, parse_axis
from transformer_playground.sweeps.results import (
    block_tests,
    combine,
    effects,
    holm,
    rejections,
    values_text,
    verdict,
)
from transformer_playground.sweeps.tables import effect_table
from transformer_playground.sweeps.trials import TrialState

NORM, LAYERS, RATE = "model.norm", "model.n_layer", "train.optim.learning_rate"
AXES: list[Axis] = [Choices(NORM, ("rmsnorm", "layernorm")), Choices(LAYERS, (1, 2, 9))]


def finished(norm: str, layers: int, seed: int, loss: float | None) -> TrialState:
    """A trial with this loss; None = it has not been trained."""
    return trial_state({NORM: norm, LAYERS: layers}, seed, loss)


def grid(of_norm: dict[str, float], of_layers: dict[int, float]) -> list[TrialState]:
    """Losses that are a sum of effects, with an equal effect of the seed everywhere."""
    return [
        finished(norm, layers, seed, 2.0 + one + other + 0.1 * seed + 0.001 * ((seed * layers) % 3))
        for norm, one in of_norm.items()
        for layers, other in of_layers.items()
        for seed in (1, 2, 3)
    ]


STATES = grid({"rmsnorm": 0.0, "layernorm": 0.2}, {1: 0.5, 2: 0.0})


def test_combinations_are_ranked_by_their_mean_loss() -> None:
    combinations = combine([*STATES, finished("rmsnorm", 9, 1, None)])

    assert [values_text(each.values) for each in combinations] == [
        "rmsnorm n_layer=2",
        "layernorm n_layer=2",
        "rmsnorm n_layer=1",
        "layernorm n_layer=1",
        "rmsnorm n_layer=9",
    ]
    assert combinations[0].loss.n == 3
    assert combinations[0].best_run is not None
    assert combinations[0].best_run.trial.seed == 1


def test_effects_pair_runs_that_agree_in_everything_else() -> None:
    first, second = effects(AXES, combine(STATES))

    assert (first.key, second.key) == (LAYERS, NORM)
    assert [level.value for level in second.levels] == ["rmsnorm", "layernorm"]
    worse = second.levels[1]
    assert worse.difference is not None
    assert worse.p_value is not None
    assert worse.difference.mean == pytest.approx(0.2)
    # The seeds' own spread of 0.1 is not in it.
    assert (worse.difference.standard_error or 0.0) < 0.01
    assert worse.difference.n == 6
    assert worse.p_value < 1e-6
    assert worse.test == "paired"


def drawn(slope: float) -> list[TrialState]:
    """A random sweep in which the loss grows with the learning rate, besides noise."""
    generator = random.Random(7)
    rate, states = parse_axis("learning_rate=1e-4..1e-2:log"), []
    for _ in range(40):
        value = rate.draw(generator)
        loss = 2.0 + slope * value / 1e-2 + generator.gauss(0, 0.05)
        states.append(trial_state({RATE: value, NORM: generator.choice("ab")}, 1, loss))
    return states


def test_drawn_numbers_are_compared_in_ranges_over_independent_combinations() -> None:
    axes: list[Axis] = [parse_axis("learning_rate=1e-4..1e-2:log"), Choices(NORM, ("a", "b"))]

    first, second = effects(axes, combine(drawn(1.0)))

    assert (first.key, second.key) == (RATE, NORM)
    assert [level.value for level in first.levels] == [
        "1e-4–2.5e-4",
        "2.5e-4–6.3e-4",
        "6.3e-4–1.6e-3",
        "1.6e-3–4e-3",
        "4e-3–1e-2",
    ]
    worst = first.levels[-1]
    assert worst.test == "welch"
    assert worst.difference is not None
    assert 0.3 < (worst.difference.mean or 0.0) < 0.8
    assert (worst.p_value or 1.0) < 1e-3
    assert (second.levels[1].p_value or 0.0) > 0.01


def one_setting(losses: dict[str, list[float | None]]) -> list[TrialState]:
    """A loss for each seed of each value of the norm."""
    return [
        trial_state({NORM: value}, seed, loss)
        for value, row in losses.items()
        for seed, loss in enumerate(row)
    ]


@pytest.mark.parametrize(
    ("values", "seeds", "sweeps", "fewest", "most"), [(2, 5, 800, 3, 15), (6, 4, 300, 0, 7)]
)
def test_equal_values_get_a_small_p_value_in_one_percent_of_sweeps(
    values: int, seeds: int, sweeps: int, fewest: int, most: int
) -> None:
    # The p-value of the best against the worst of six, not corrected, is below 0.01 in 9 %.
    names = "abcdef"[:values]
    generator, wrong = random.Random(5), 0
    for _ in range(sweeps):
        losses: dict[str, list[float | None]] = {
            name: [generator.gauss(2, 0.1) for _ in range(seeds)] for name in names
        }
        (effect,) = effects([Choices(NORM, tuple(names))], combine(one_setting(losses)))
        wrong += any((level.p_value or 1.0) < 0.01 for level in effect.levels[1:])

    assert fewest <= wrong <= most


def test_p_values_of_effects_are_corrected_for_all_pairs_of_values() -> None:
    # Differences to the best: 1, 2, 3 (p = 0.0742) and 5, 6, 7 (p = 0.0091); between both: 4.
    losses: dict[str, list[float | None]] = {
        "a": [1.0, 2.0, 3.0],
        "b": [2.0, 4.0, 6.0],
        "c": [6.0, 8.0, 10.0],
    }

    (effect,) = effects([Choices(NORM, ("a", "b", "c"))], combine(one_setting(losses)))

    best, middle, worst = effect.levels
    assert (best.value, best.difference, best.p_value) == ("a", None, None)
    assert middle.p_value == pytest.approx(0.0742, abs=1e-4)
    assert worst.p_value == pytest.approx(2 * 0.0091, abs=1e-4)


def test_only_the_best_value_has_no_difference() -> None:
    losses: dict[str, list[float | None]] = {"a": [2.0], "b": [2.5], "c": [2.2]}

    (effect,) = effects([Choices(NORM, ("a", "b", "c"))], combine(one_setting(losses)))

    assert [level.value for level in effect.levels] == ["a", "c", "b"]
    assert effect.levels[0].difference is None
    differences = [level.difference for level in effect.levels[1:] if level.difference]
    assert [each.mean for each in differences] == [pytest.approx(0.2), pytest.approx(0.5)]
    assert {each.standard_error for each in differences} == {None}
    assert {level.test for level in effect.levels} == {None}
    assert effect.size == pytest.approx(0.5)
    assert list(effect_table(effect)[2].cells) == ["best", "+0.2000", "+0.5000"]


def test_missing_runs_do_not_distort_which_value_is_best() -> None:
    # "layernorm" is worse by 0.1 everywhere, but lacks the runs with the bad layers.
    states = [
        finished(norm, layers, seed, None if is_missing else loss)
        for norm, shift in (("rmsnorm", 0.0), ("layernorm", 0.1))
        for layers, worse in ((1, 1.0), (2, 0.0))
        for seed in (1, 2, 3)
        for loss in [2.0 + shift + worse + 0.01 * seed + 0.001 * ((seed * layers) % 3)]
        for is_missing in [norm == "layernorm" and layers == 1]
    ]

    first, second = effects(AXES, combine(states))

    assert [level.value for level in second.levels] == ["rmsnorm", "layernorm"]
    assert second.levels[0].loss.mean is not None
    assert second.levels[1].loss.mean is not None
    assert second.levels[1].loss.mean < second.levels[0].loss.mean
    assert second.size == pytest.approx(0.1)
    assert [level.value for level in first.levels] == ["2", "1"]


def test_a_clear_winner_is_called_one() -> None:
    sentence = verdict(combine(STATES))

    assert sentence.startswith("rmsnorm n_layer=2 is best: val loss 2.2")
    assert "better than all others at p < 0.01 (next: layernorm n_layer=2" in sentence


def test_equal_combinations_are_not_distinguished() -> None:
    generator = random.Random(3)
    states = [
        finished(norm, layers, seed, 2.0 + generator.gauss(0, 0.05))
        for norm in ("a", "b")
        for layers in (1, 2)
        for seed in range(4)
    ]

    assert "3 of 3 others cannot be distinguished from it" in verdict(combine(states))


def test_single_seeds_give_no_verdict() -> None:
    states = [finished("a", 1, 1, 2.0), finished("b", 1, 1, 3.0)]

    assert "several finished seeds" in verdict(combine(states))
    assert verdict([]) == ""


def test_a_verdict_on_equal_combinations_is_wrong_in_one_percent() -> None:
    # 2,000 comparisons of two equal combinations with five seeds each.
    generator, wrong = random.Random(11), 0
    for _ in range(2000):
        of_seed = [generator.gauss(0, 1) for _ in range(5)]
        rows = [[effect + generator.gauss(0, 1) for effect in of_seed] for _ in range(2)]
        p_values = block_tests(sorted(rows, key=sum))
        wrong += p_values is not None and rejections(p_values) == len(p_values)

    assert 10 <= wrong <= 30


@pytest.mark.parametrize(
    ("better", "seeds", "share"), [(1.0, 10, 0.23), (1.0, 30, 0.86), (2.0, 10, 0.84), (4.0, 5, 0.9)]
)
def test_a_real_difference_is_found_as_often_as_documented(
    better: float, seeds: int, share: float
) -> None:
    # Two combinations; a difference in standard deviations of a run.
    generator, found = random.Random(12), 0
    for _ in range(300):
        rows = [[shift + generator.gauss(0, 1) for _ in range(seeds)] for shift in (0.0, better)]
        p_values = block_tests(rows) if sum(rows[0]) < sum(rows[1]) else None
        found += p_values is not None and rejections(p_values) == 1

    assert abs(found / 300 - share) < 0.08


def test_two_rows_are_tested_as_by_a_paired_t_test() -> None:
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 3.4641 with 2 degrees.
    (p_value,) = block_tests([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]) or []
    assert p_value == pytest.approx(0.0742, abs=1e-4)
    assert block_tests([[1.0], [2.0]]) is None


def test_a_combination_that_is_told_twice_counts_once() -> None:
    (combination,) = combine([*STATES[:3], *STATES[:3]])

    assert combination.loss.n == 3


def test_looks_make_the_verdict_stricter() -> None:
    losses = {"a": (2.0, 2.1, 2.2, 2.3), "b": (2.1, 2.24, 2.31, 2.45)}
    combinations = combine(
        finished(norm, 1, seed, loss)
        for norm, row in losses.items()
        for seed, loss in enumerate(row)
    )

    assert "better than all others" in verdict(combinations)
    assert "cannot be distinguished" in verdict(combinations, looks=9)


def test_holm_stops_at_the_first_hypothesis_that_stands() -> None:
    assert rejections([0.001, 0.004, 0.5]) == 2
    assert rejections([0.004, 0.004, 0.004]) == 0
    assert rejections([]) == 0
    assert holm([0.004, 0.5, 0.001]) == pytest.approx([0.008, 0.5, 0.003])
    assert holm([0.4, 0.3, 0.5]) == pytest.approx([0.9, 0.9, 0.9])
