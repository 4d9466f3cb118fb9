"""Stop texts in a stream of tokens, whose borders must not matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.generation.samples import SampledToken
from transformer_playground.serving.completion import StopSearch


def searched(pieces: list[str], stops: tuple[str, ...]) -> tuple[str, bool, int]:
    """Text before a stop, whether there was one, and the number of pieces read."""
    search = StopSearch(stops)
    found: list[SampledToken] = []
    for number, piece in enumerate(pieces):
        found += search.push(SampledToken(0, number, 0, 0.0, piece))
        if search.is_found:
            return "".join(token.text for token in found), True, number + 1
    found += search.flush()
    return "".join(token.text for token in found), False, len(pieces)


@pytest.mark.parametrize(
    ("pieces", "stops", "text"),
    [
        (["ab", "cd"], ("bc",), "a"),
        (["a", "b", "c"], ("c",), "ab"),
        (["aab", "aac"], ("aac",), "aab"),
        (["xx", "xy"], ("xxy", "q"), "x"),
        (["abc"], ("c", "b"), "a"),
        (["", "a", "", "b"], ("ab",), ""),
        (["no", "stop"], ("stops",), "nostop"),
        (["no", "stop"], (), "nostop"),
    ],
)
def test_text_ends_before_the_first_stop(
    pieces: list[str], stops: tuple[str, ...], text: str
) -> None:
    assert searched(pieces, stops)[0] == text


@given(
    pieces=st.lists(st.text(alphabet="ab", max_size=3), max_size=8),
    stops=st.lists(st.text(alphabet="ab", min_size=1, max_size=3), max_size=3),
)
def test_the_division_into_tokens_does_not_matter(pieces: list[str], stops: list[str]) -> None:
    text, is_found, read = searched(pieces, tuple(stops))
    seen = "".join(pieces[:read])
    places = [seen.find(stop) for stop in stops if stop in seen]
    assert is_found == bool(places)
    assert text == (seen[: min(places)] if places else seen)
