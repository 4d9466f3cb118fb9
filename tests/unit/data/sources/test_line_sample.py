import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.data.sources import line_sample
from transformer_playground.data.sources.line_sample import sample_lines

LINES = [f"line {number} of a long text" for number in range(20_000)]
TOTAL = sum(len(line) + 1 for line in LINES)


@settings(max_examples=40)
@given(lines=st.lists(st.text(st.characters(exclude_characters="\n"), max_size=9)))
def test_a_text_that_fits_is_taken_whole(lines: list[str]) -> None:
    sample = sample_lines(iter(lines), sum(map(len, lines)) + len(lines))

    assert list(sample) == lines
    assert sample.is_whole


def test_a_long_text_is_sampled_within_the_limit_and_in_its_order() -> None:
    sample = sample_lines(iter(LINES), TOTAL // 5)
    chosen = list(sample)

    assert not sample.is_whole
    assert sample.total == TOTAL
    assert sample.characters == sum(len(line) + 1 for line in chosen)
    assert 0.7 * TOTAL / 5 < sample.characters < 1.1 * TOTAL / 5
    places = [int(line.split()[1]) for line in chosen]
    assert places == sorted(set(places))


def test_the_sample_comes_from_the_whole_text_and_is_always_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(line_sample, "_BLOCK", 1 << 10)
    first, second = (list(sample_lines(iter(LINES), TOTAL // 5)) for _ in range(2))

    assert first == second
    quarters = [int(line.split()[1]) * 4 // len(LINES) for line in first]
    assert all(quarters.count(each) > len(first) / 8 for each in range(4))


def test_one_line_longer_than_the_limit_is_still_text_to_train_on() -> None:
    sample = sample_lines(["x" * 100], 10)

    assert list(sample) == ["x" * 100]
    assert sample.is_whole
