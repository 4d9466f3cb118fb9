"""What could have come instead of the token that is pointed at, and what the colours mean."""

import math
from collections.abc import Callable

from textual.content import Content
from textual.widgets import Static

from transformer_playground.formatting import percent_text
from transformer_playground.generation.samples import SampledToken
from transformer_playground.terminal import visible_line
from transformer_playground.tui.sample.transcript import LEVELS

_MUTED = "$foreground 60%"
_LEGEND = "probability before temperature and filters"
_LIKELIEST = Content.styled("likeliest", _MUTED)


class TokenDetail(Static):
    """Two lines below the text; gone while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__(id="token-detail", markup=False)
        self.display = False

    def tell(
        self, token: SampledToken | None, text_of: Callable[[int], str], *, colours: bool
    ) -> None:
        """Show a token and the likeliest ones at its position.

        Args:
            token: The token that is pointed at, if any.
            text_of: Text of a token id, untrusted.
            colours: Whether the legend is wanted while no token is pointed at.
        """
        self.display = token is not None or colours
        if token is None:
            self.update(legend() if colours else "")
            return
        heading = Content.assemble(
            (f"token {token.position + 1:,}  ", _MUTED),
            _quoted(text_of(token.id)),
            (f" {percent_text(math.exp(token.logprob))}", "bold"),
            (f"  {_LEGEND}", _MUTED),
        )
        alternatives = [
            Content.assemble(
                _quoted(text_of(each.id)),
                f" {percent_text(math.exp(each.logprob))}",
            ).stylize("bold underline" if each.id == token.id else "")
            for each in token.alternatives
        ]
        self.update(Content("\n").join([heading, Content("  ").join([_LIKELIEST, *alternatives])]))


def legend() -> Content:
    """The colours and the probabilities they stand for."""
    names = [f"≥{percent_text(least)}" for least in LEVELS] + [f"<{percent_text(LEVELS[-1])}"]
    swatches = [Content.styled(name, style) for name, style in zip(names, STYLES, strict=True)]
    return Content("  ").join([*swatches, Content.styled(_LEGEND, _MUTED)])


STYLES = (
    "$foreground 60% dim",
    "$foreground",
    "bold $primary",
    "underline $accent",
    "bold underline $error",
)
"""How each level looks, as in the stylesheet: brightness and lines tell it without colours too."""


def _quoted(text: str) -> Content:
    return Content(f"“{visible_line(text)}”")
