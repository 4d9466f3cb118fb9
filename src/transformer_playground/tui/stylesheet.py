"""A stylesheet that reads no rule twice."""

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

# Each class of widgets brings its own rules; Textual's 64 are fewer than a console has.
_SOURCES = 512


class LastingStylesheet(Stylesheet):
    """Textual's stylesheet, which would read all rules anew for each view, and twice for the first.

    Rules are read again where the colours that they name have changed.

    Args:
        variables: Name of a variable -> its value.
    """

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        """Take over variables; the same ones again change nothing."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """Bring the rules up to date with their sources and the variables."""
        self.parse()
