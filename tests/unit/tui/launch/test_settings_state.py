"""Rows of the settings table."""

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.tui.launch.service import SettingValues
from transformer_playground.tui.launch.settings_state import (
    CHANGED,
    SettingRow,
    group_of,
    next_choice,
    rows_of,
)

VALUES = SettingValues(new={"model.norm": "rmsnorm", "model.n_layer": 2}, was={"model.n_layer": 2})


def named(rows: list[SettingRow], key: str) -> SettingRow:
    return next(row for row in rows if row.key == key)


def test_changed_settings_come_first_with_new_inherited_and_default_value() -> None:
    rows = rows_of(VALUES, ["model.norm=rmsnorm"], {CHANGED})
    assert [row.key for row in rows[:2]] == [CHANGED, "model.norm"]
    assert (rows[1].new, rows[1].was, rows[1].default) == ("rmsnorm", "layernorm", "layernorm")
    assert rows[1].label == "model.norm"
    assert "Normalisation" in rows[1].help


def test_a_group_is_closed_until_it_is_opened_and_says_what_differs() -> None:
    rows = rows_of(VALUES, [], set())
    assert all(row.is_heading for row in rows)
    assert named(rows, "model").help == "n_layer 2, norm rmsnorm"
    opened = rows_of(VALUES, [], {"model"})
    assert named(opened, "model").help == ""
    assert named(opened, "model.n_layer").label == "n_layer"
    place = opened.index(named(opened, "model.n_layer"))
    assert group_of(opened, place) == "model"


def test_every_setting_of_the_schema_has_a_row() -> None:
    values = SettingValues()
    closed = rows_of(values, [], set())
    rows = rows_of(values, [], {row.key for row in closed})
    keys = {row.key for row in rows}
    config = ExperimentConfig.model_fields["train"].annotation
    assert config is not None
    assert {"train.runtime.seed", "model.n_layer", "peft.r", "sample.sample.top_k"} <= keys
    assert not [key for key in keys if "*" in key]


def test_only_what_differs_leaves_out_defaults() -> None:
    rows = rows_of(VALUES, [], {"model"}, only_differing=True)
    assert [row.key for row in rows] == ["model", "model.n_layer", "model.norm"]


def test_a_list_is_shown_as_it_was_typed() -> None:
    rows = rows_of(VALUES, ["model.n_layer=1, 2"], {CHANGED})
    assert rows[1].new == "1, 2"


def test_choices_turn_in_both_directions_and_numbers_have_none() -> None:
    row = SettingRow("model.norm", "norm", new="layernorm")
    choice = next_choice(row, 1)
    assert choice == "rmsnorm"
    back = SettingRow("model.norm", "norm", new="rmsnorm")
    assert next_choice(back, -1) == "layernorm"
    assert next_choice(SettingRow("model.bias", "bias", new="true"), 1) == "false"
    assert next_choice(SettingRow("model.n_layer", "n_layer", new="2"), 1) is None
