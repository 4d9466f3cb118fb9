"""Which part of a chart's data is on show."""

from dataclasses import dataclass

from transformer_playground.tui.state.axes import Span


@dataclass(frozen=True)
class Viewport:
    """The window of a chart; an axis without a span follows the data.

    Attributes:
        x: What is shown across, or None for all there is.
        y: What is shown from bottom to top, or None for what the lines do within `x`.
    """

    x: Span | None = None
    y: Span | None = None

    @property
    def follows(self) -> bool:
        """Whether new data are taken into view by themselves."""
        return self.x is None and self.y is None

    def zoomed_across(self, full: Span, factor: float, about: float) -> "Viewport":
        """Scaled by `factor` about a position; follows again once all of `full` is on show."""
        zoomed = (self.x or full).zoomed(factor, about)
        if zoomed.covers(full):
            return Viewport(None, self.y)
        return Viewport(zoomed.kept_near(full), self.y)

    def panned_across(self, full: Span, share: float) -> "Viewport":
        """Moved by a share of its width; nothing happens while all is on show."""
        if self.x is None:
            return self
        return Viewport(self.x.panned(share).kept_near(full), self.y)

    def zoomed_up(self, shown: Span, factor: float, about: float) -> "Viewport":
        """Scaled from bottom to top, from what is on show."""
        return Viewport(self.x, shown.zoomed(factor, about))

    def panned_up(self, shown: Span, share: float) -> "Viewport":
        """Moved up by a share of what is on show from bottom to top."""
        return Viewport(self.x, shown.panned(share))
