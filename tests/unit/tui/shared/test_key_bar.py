"""Which keys the bar at the bottom shows."""

import pytest

from transformer_playground.tui.shared.key_bar import ShownKey, fitting_keys

KEYS = [ShownKey(key, key, label, "", is_enabled=True) for key, label in (("a", "all"), ("b", "x"))]


@pytest.mark.parametrize(("space", "expected"), [(9, "ab"), (8, "a"), (5, "a"), (4, "")])
def test_a_key_is_shown_with_its_whole_label_or_not_at_all(space: int, expected: str) -> None:
    assert [key.key for key in fitting_keys(KEYS, space)] == [*expected]
