"""What differs between runs, and names made of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.runs import run_info
from transformer_playground.runs.fields import Parent, RunInfo
from transformer_playground.runs.labels import name_order
from transformer_playground.runs.naming import (
    learning_settings,
    most_telling,
    name_runs,
    setting_headers,
)

PE, ACT, LR = "model.positional_encoding", "model.activation", "train.optim.learning_rate"
LAYERS, SEED = "model.n_layer", "train.runtime.seed"


def run(number: int, values: Mapping[str, Any] = {}, experiment: str = "tiny") -> RunInfo:
    """A run with an id that was made up."""
    given = {"model.n_layer": 2, PE: "learned", ACT: "gelu", SEED: 1337} | dict(values)
    return run_info(
        f"{experiment}-20270115-06{number:04}-{number:04x}", experiment=experiment, settings=given
    )


def labels(*rows: RunInfo) -> list[str]:
    names = name_runs(rows)
    return [names.label(row.run_id) for row in rows]


def sweep() -> list[RunInfo]:
    return [
        run(number, {PE: pe, ACT: act, LR: lr})
        for number, (pe, act, lr) in enumerate(
            (pe, act, lr)
            for pe in ("rope", "alibi", "none")
            for act in ("relu2", "gelu")
            for lr in (1e-2, 3e-3)
        )
    ]


def test_runs_are_called_by_the_values_in_which_they_differ() -> None:
    rows = sweep()
    names = name_runs(rows)
    assert names.varying == (PE, ACT, LR)
    assert names.constant == {LAYERS: 2, SEED: 1337}
    assert names.label(rows[0].run_id) == "rope relu2 1e-2"
    assert names.label(rows[3].run_id) == "rope gelu 3e-3"
    assert names.label(rows[-1].run_id) == "none gelu 3e-3"


def test_a_run_that_was_given_a_name_keeps_it() -> None:
    named = run_info("my-best", experiment="tiny", settings={LAYERS: 2, SEED: 1337, PE: "rope"})
    assert labels(named, run(1, {PE: "alibi"}), run(2, {PE: "rope"}))[0] == "my-best"


def test_seeds_and_repeated_runs_stay_distinguishable() -> None:
    rows = [run(number, {PE: "rope", SEED: seed}) for number, seed in enumerate((1, 2, 2))]
    assert labels(*rows) == ["seed=1", "seed=2 0001", "seed=2 0002"]
    once = run(3, {PE: "alibi", SEED: 1})
    assert labels(*rows, once) == ["rope seed=1", "rope seed=2 0001", "rope seed=2 0002", "alibi"]
    assert labels(run(7), run(8)) == ["tiny 0007", "tiny 0008"]


def test_a_branch_is_called_after_the_step_where_it_started() -> None:
    parent, branch = run(1, {PE: "rope"}), run(2, {PE: "rope"})
    branch = replace(branch, parent=Parent(parent.run_id, 300))
    before = name_runs([parent, run(2, {PE: "rope"}), run(3, {PE: "alibi"})])
    names = name_runs([parent, branch, run(3, {PE: "alibi"})], before)
    assert [names.label(each.run_id) for each in (parent, branch)] == ["rope", "rope @300"]


def test_names_are_sorted_by_the_numbers_in_them() -> None:
    names = ["rope 1e-2", "n_layer=10", "rope 1e-3", "alibi 3e-3", "n_layer=9 rope", "Rope 3e-3"]
    assert sorted(names, key=name_order) == [
        *("alibi 3e-3", "rope 1e-3", "Rope 3e-3", "rope 1e-2"),
        *("n_layer=9 rope", "n_layer=10"),
    ]


def test_one_run_is_called_by_its_id() -> None:
    alone = run(1)
    assert labels(alone) == [alone.run_id]
    assert name_runs([]).varying == ()
    assert name_runs([alone]).label("other") == "other"


def test_a_setting_that_follows_from_another_is_a_column_but_not_part_of_the_name() -> None:
    rows = [run(n, {LR: lr, "train.optim.eps": lr / 10}) for n, lr in enumerate((1e-2, 1e-3))]
    assert labels(*rows) == ["1e-2", "1e-3"]
    assert name_runs(rows).varying == (LR, "train.optim.eps")
    again = replace(rows[0], run_id=run(3).run_id, settings={**rows[0].settings, SEED: 2})
    assert labels(*rows, again) == ["1e-2 seed=1337", "1e-3", "1e-2 seed=2"]


def test_runs_of_several_experiments_are_told_apart_within_each() -> None:
    rows = [
        run(1, {PE: "rope", LAYERS: 4}, "char"),
        run(2, {PE: "alibi", LAYERS: 4}, "char"),
        run(3, {PE: "alibi", LAYERS: 8, "experiment.description": "By words"}, "words"),
    ]
    assert labels(*rows) == ["char rope", "char alibi", "words"]
    assert name_runs(rows).varying == (LAYERS, PE)
    broken = run_info("broken-one", "broken")
    assert labels(*rows[:2], broken) == ["rope", "alibi", "broken-one"]


def test_a_word_of_two_settings_is_written_with_its_setting() -> None:
    rows = [
        run(1, {"model.norm": "pre", "model.norm_position": "post"}),
        run(2, {"model.norm": "pre", "model.norm_position": "pre"}),
        run(3, {"model.norm": "x", "model.norm_position": "post"}),
    ]
    assert labels(*rows) == ["norm=pre post", "norm_position=pre", "x"]


def test_a_setting_that_an_older_run_lacks_varies() -> None:
    rows = [run(1, {"model.qk_norm": True}), run(2)]
    assert labels(*rows) == ["qk_norm=true", "qk_norm=false"]
    assert labels(*reversed(rows)) == ["qk_norm=false", "qk_norm=true"]
    assert name_runs([run_info("broken-one", "broken"), *rows]).varying == ("model.qk_norm",)
    unknown = [run(1, {"model.gone": True}), run(2)]
    assert labels(*unknown) == ["gone=true", "gone=unset"]


def test_a_setting_that_an_older_run_lacks_has_its_default() -> None:
    limit = "train.runtime.max_minutes"
    rows = [run(1, {PE: "rope"}), run(2, {PE: "none", limit: 0.0}), run(3, {PE: "alibi"})]
    for order in (rows, rows[::-1], rows[1:] + rows[:1]):
        assert name_runs(order).varying == (PE,)
    names = name_runs([*rows, run(4, {PE: "rope", limit: 5.0})])
    assert names.varying == (PE, limit)
    assert names.label(rows[0].run_id) == "rope max_minutes=0.0"
    # A table that a run does not have at all has no defaults in it.
    assert name_runs([run(1), run(2, {"sample.x": 1, "prepare.val_fraction": 0.1})]).varying == (
        "prepare.val_fraction",
    )


def test_true_and_one_differ_and_a_number_that_is_not_one_equals_itself() -> None:
    odd = float("nan")
    rows = [
        run(1, {"model.a": True, "model.b": odd}),
        run(2, {"model.a": 1, "model.b": float("nan")}),
    ]
    assert name_runs(rows).varying == ("model.a",)


def test_fewer_runs_differ_in_fewer_settings() -> None:
    rows = sweep()
    ropes = [row.run_id for row in rows if row.settings[PE] == "rope"]
    names = name_runs(rows).among([*ropes, "unknown"])
    assert names.varying == (ACT, LR)
    assert names.constant[PE] == "rope"
    assert names.label(ropes[0]) == "relu2 1e-2"
    assert list(names.labels) == ropes


def test_unchanged_runs_give_the_same_result_and_a_changed_one_only_its_own_work() -> None:
    rows = sweep()
    first = name_runs(rows)
    again = [
        run_info(row.run_id, "running", experiment="tiny", settings={**row.settings})
        for row in rows
    ]
    assert name_runs(again, first) is first
    renamed = [*rows[1:], run(99, {PE: "rope", ACT: "silu", LR: 1e-2})]
    after = name_runs(renamed, first)
    assert after.labels == name_runs(renamed).labels
    assert after.label(renamed[-1].run_id) == "silu"


def test_a_run_that_joins_changes_only_names_that_it_would_share() -> None:
    base, deeper = run(1, {LR: 3e-3}), run(2, {LAYERS: 8, LR: 3e-3})
    warmer, rope = run(3, {LR: 1e-2}), run(4, {LR: 3e-3, PE: "rope"})
    assert labels(base, deeper) == ["n_layer=2", "n_layer=8"]
    assert labels(base, deeper, warmer) == ["n_layer=2 3e-3", "n_layer=8", "1e-2"]
    assert labels(rope, warmer, base, deeper) == [
        *("rope", "1e-2"),
        *("n_layer=2 learned 3e-3", "n_layer=8"),
    ]
    both = run(5, {LR: 1e-2, PE: "rope"})
    assert labels(rope, both, warmer) == ["rope 3e-3", "rope 1e-2", "learned"]
    every = sweep()
    names = name_runs(every).labels
    joined = name_runs([run(90, {PE: "rope", ACT: "silu", LR: 1e-2}), *every]).labels
    assert {run_id: joined[run_id] for run_id in names} == dict(names)


def test_a_run_is_told_from_those_that_the_user_has_named_too() -> None:
    deep = {LAYERS: 8, PE: "rope", LR: 3e-3}
    named = run_info("seed-1", experiment="tiny", settings=run(1, deep).settings, created=2.0)
    rows = [replace(row, created=1.0) for row in sweep()]
    clone = replace(run(99, {**deep, "model.dropout": 0.1}), created=3.0)
    before, after = name_runs([*rows, named]).labels, name_runs([*rows, named, clone]).labels
    assert after[clone.run_id] == "n_layer=8 dropout=0.1"
    assert {run_id: after[run_id] for run_id in before} == before
    assert before[rows[0].run_id] == "rope relu2 1e-2"
    assert before["seed-1"] == "seed-1"


def test_seeds_are_no_part_of_a_name_that_other_settings_make_unique() -> None:
    seeds = [run(number, {SEED: number}) for number in range(3)]
    assert labels(*seeds, run(9, {PE: "rope", SEED: 0})) == [
        *(f"learned seed={number}" for number in range(3)),
        "rope",
    ]


def test_a_name_without_room_loses_the_settings_that_tell_least() -> None:
    rows = [
        run(number, {LAYERS: layers, ACT: act, LR: lr})
        for number, (layers, act, lr) in enumerate(
            (layers, act, lr)
            for layers in (2, 8)
            for act in ("relu2", "gelu")
            for lr in (1e-2, 3e-3, 1e12)
        )
    ]
    names, first = name_runs(rows), rows[0].run_id
    assert [names.short(first, width) for width in (30, 20, 12, 3)] == [
        "n_layer=2 relu2 1e-2",
        "n_layer=2 relu2 1e-2",
        "1e-2 …",
        "1e-2 …",
    ]
    assert names.short(first, 19) == "n_layer=2 1e-2 …"
    assert names.label(rows[2].run_id) == "n_layer=2 relu2 1e12"
    other = name_runs([*rows, run(50, {}, "another_experiment")])
    assert other.short(first, 24) == "n_layer=2 relu2 1e-2 …"
    repeated = [run(number, {PE: pe}) for number, pe in enumerate(("rope", "rope", "alibi"))]
    assert name_runs(repeated).short(repeated[1].run_id, 7) == "0001 …"
    assert name_runs(repeated).short("unknown", 3) == "unknown"


def test_the_setting_with_the_most_evenly_spread_values_tells_most() -> None:
    rows = [
        ({LR: number % 3, ACT: number % 2, LAYERS: 2, SEED: number}, False) for number in range(6)
    ]
    rows += [({LR: 0, ACT: 0, LAYERS: layers, SEED: 6}, True) for layers in (3, 4, 5, 6)]
    assert most_telling([SEED, LAYERS, ACT, LR], rows) == (LR, ACT, LAYERS, SEED)
    assert most_telling([PE, ACT], [({}, False)]) == (PE, ACT)
    assert most_telling([PE, ACT], []) == (PE, ACT)


def test_a_setting_that_says_the_same_as_another_tells_least() -> None:
    shapes = ((2, 64, 1), (4, 128, 1), (2, 64, 2))
    rows = [({LAYERS: n, "model.n_embd": width, LR: lr}, False) for n, width, lr in shapes]
    assert most_telling([LAYERS, "model.n_embd", LR], rows) == (LAYERS, LR, "model.n_embd")


def test_a_short_name_is_the_last_part_of_a_key_where_that_is_unique() -> None:
    assert setting_headers([PE, "model.block_size", "hf_model.block_size"]) == {
        PE: "positional_encoding",
        "model.block_size": "model.block_size",
        "hf_model.block_size": "hf_model.block_size",
    }


VALUES = st.one_of(
    st.sampled_from(["a", "a b", 'q"', "=x", "none", "\x1b[2J", "x" * 90, "x" * 91]),
    st.booleans(),
    st.integers(-2, 2),
    st.floats(),
    st.lists(st.integers(0, 1), max_size=2),
    st.none(),
)
KEYS = st.sampled_from(["model.a", "model.b", "train.optim.learning_rate", SEED, "x.a"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES), min_size=1, max_size=8))
def test_names_are_unique_whatever_the_settings_are(tables: list[dict[str, Any]]) -> None:
    rows = [
        run_info(
            f"t-20270115-060000-{number % 3:04x}" + "-20270115-060000-0001" * (number % 2),
            experiment="t",
            settings=table,
        )
        for number, table in enumerate(tables)
    ]
    rows.append(run_info("t 0001", experiment="t", settings={}))
    unique = {row.run_id: row for row in rows}
    names = name_runs(unique.values()).labels
    assert len(set(names.values())) == len(unique)
    assert all(names.values())


TIMED = "train.runtime.max_minutes"


@pytest.mark.parametrize(
    "key",
    [
        *(f"train.runtime.{name}" for name in ("threads", "sample_interval", "log_interval")),
        *("train.checkpointing.interval", "sample.sample.max_new_tokens"),
    ],
)
def test_what_takes_time_decides_what_is_learned_only_if_the_time_is_limited(key: str) -> None:
    assert learning_settings({LAYERS: 2, key: 3, TIMED: 0.0}) == {LAYERS: 2, TIMED: 0.0}
    assert learning_settings({LAYERS: 2, key: 3}) == {LAYERS: 2}
    limited = {LAYERS: 2, key: 3, TIMED: 5.0}
    assert learning_settings(limited) == limited


@pytest.mark.parametrize(
    "key",
    [
        "experiment.name",
        "prepare.raw_dir",
        "train.runtime.auto_plot",
        "train.checkpointing.keep.last",
    ],
)
def test_what_takes_no_time_never_decides_what_is_learned(key: str) -> None:
    assert learning_settings({TIMED: 5.0, key: 3}) == {TIMED: 5.0}
