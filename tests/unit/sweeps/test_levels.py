"""Levels of a setting: values, ranges of drawn numbers, and where they lie on an axis."""

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.sweeps.axes import Axis, Choices, Range, parse_axis
from transformer_playground.sweeps.levels import Scale, find_setting

NORM, RATE = "model.norm", "train.optim.learning_rate"


@pytest.mark.parametrize(
    ("text", "value", "level", "place"),
    [
        ("learning_rate=1e-4..1e-2:log", 1e-3, 2, 0.5),
        ("learning_rate=1e-4..1e-2:log", 1e-2, 4, 1.0),
        ("dropout=0..0.5", 0.1, 1, 0.2),
        ("n_layer=1..4", 2, 1, 1 / 3),
        ("n_layer=1..400", 400, 4, 1.0),
        ("learning_rate=1e-4..1e-2:log:3", 1e-3, 1, 0.5),
        ("learning_rate=1e-4..1e-2:log", 1.0, None, None),
        ("norm=rmsnorm,layernorm", "other", None, None),
    ],
)
def test_values_have_a_level_and_a_place_on_their_axis(
    text: str, value: object, level: int | None, place: float | None
) -> None:
    scale = Scale(parse_axis(text))

    assert scale.level(value) == level
    assert scale.place(value) == (None if place is None else pytest.approx(place))


def test_drawn_numbers_are_put_together_in_ranges() -> None:
    axis: Axis = Range(RATE, 1e-4, 1e-2, is_log=True)

    scale = Scale(axis)

    assert len(scale.levels) == 5
    assert scale.levels[0] == "1e-4–2.5e-4"
    assert [text for _, text in scale.ticks] == ["1e-4", "1e-3", "1e-2"]


def test_settings_of_lists_have_levels() -> None:
    axis = Choices("sample.prompts", (["a"], ["b"]))

    assert Scale(axis).level(["b"]) == 1


AXES = (parse_axis("learning_rate=1e-4..1e-2:log"), parse_axis("model.n_embd=8..64"))


def test_a_setting_is_found_by_a_unique_end_of_its_key() -> None:
    assert find_setting(AXES, "learning_rate") == "train.optim.learning_rate"
    with pytest.raises(UsageError, match="norm does not vary") as refused:
        find_setting(AXES, "norm")
    assert "learning_rate, n_embd" in (refused.value.hint or "")
