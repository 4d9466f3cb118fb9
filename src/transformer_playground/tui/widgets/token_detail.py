"""What could have come instead of the token that is pointed at, and what the colours mean."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from transformer_playground.terminal import visible_line
from transformer_playground.tui.state.transcript import LEVELS

if TYPE_CHECKING:
    from transformer_playground.sampling.generate import DrawnToken

_MUTED = "$foreground 60%"
_LEGEND = "probability before temperature and filters"
_LIKELIEST = Content.styled("likeliest", _MUTED)


class TokenDetail(Static):
    """Two lines below the text; gone while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__(id="token-detail", markup=False)
        self.display = False

    def tell(
        self, drawn: "DrawnToken | None", text_of: Callable[[int], str], *, colours: bool
    ) -> None:
        """Show a token and what the model held likely in its place.

        Args:
            drawn: The token that is pointed at, if any.
            text_of: Text of a token id, untrusted.
            colours: Whether the legend is wanted while no token is pointed at.
        """
        self.display = drawn is not None or colours
        if drawn is None:
            self.update(legend() if colours else "")
            return
        heading = Content.assemble(
            (f"token {drawn.position + 1:,}  ", _MUTED),
            _quoted(text_of(drawn.token)),
            (f" {_percent(drawn.logprob)}", "bold"),
            (f"  {_LEGEND}", _MUTED),
        )
        alternatives = [
            Content.assemble(
                _quoted(text_of(each.token)),
                f" {_percent(each.logprob)}",
            ).stylize("bold underline" if each.token == drawn.token else "")
            for each in drawn.alternatives
        ]
        self.update(Content("\n").join([heading, Content("  ").join([_LIKELIEST, *alternatives])]))


def legend() -> Content:
    """The colours and the probabilities they stand for."""
    names = [f"≥{least:.0%}" for least in LEVELS] + [f"<{LEVELS[-1]:.0%}"]
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


def _percent(logprob: float) -> str:
    return f"{math.exp(logprob):.1%}"


def _quoted(text: str) -> Content:
    return Content(f"“{visible_line(text)}”")
