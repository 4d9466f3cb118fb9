"""Order of the entries of the command palette."""

from transformer_playground.tui.palette import closeness


def test_the_exact_name_comes_before_names_that_begin_with_it() -> None:
    names = ["open rope-seed2", "open grope", "open rope", "train rope fast", "rope"]
    ordered = sorted(names, key=lambda name: closeness(name, "rope"), reverse=True)
    assert ordered == ["rope", "open rope", "train rope fast", "open rope-seed2", "open grope"]
    assert closeness("open rope", "open rope") > closeness("open rope-seed2", "open rope")
    assert closeness("Theme: Switch", "theme") == 2
