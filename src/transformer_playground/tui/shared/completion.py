"""Completion of typed text: what a list of suggestions offers."""

from typing import NamedTuple


class Completion(NamedTuple):
    """One suggestion.

    Attributes:
        text: What replaces the part of the text that is completed.
        note: Shown beside it.
        needs_value: Whether it is a key that still needs a value.
        is_whole: Whether it replaces all that was typed, however many terms that is.
    """

    text: str
    note: str = ""
    needs_value: bool = False
    is_whole: bool = False
