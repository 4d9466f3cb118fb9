"""Completion of typed text: what a list of suggestions offers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Completion:
    """One suggestion.

    Attributes:
        text: What replaces the part of the text that is completed.
        note: Shown beside it.
        needs_value: Whether it is a key that still needs a value.
    """

    text: str
    note: str = ""
    needs_value: bool = False
