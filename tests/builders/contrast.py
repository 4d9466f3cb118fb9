"""Contrast of what a console shows."""

from collections.abc import Iterator

from rich.segment import Segment
from textual.color import Color
from textual.geometry import Region

from transformer_playground.tui.app import Console
from transformer_playground.tui.contrast import MIN_CONTRAST, MIN_TEXT_CONTRAST, contrast


def drawn(console: Console, within: Region | None = None) -> Iterator[tuple[str, Segment]]:
    """Every part of the screen, or of a region, that is not empty."""
    strips = console.screen._compositor.render_strips()
    if within is not None:
        rows = strips[within.y : within.bottom]
        strips = [strip.crop(within.x, within.right) for strip in rows]
    for strip in strips:
        for segment in strip:
            if segment.style is not None and segment.text.strip():
                yield segment.text, segment


def ratio(segment: Segment) -> float:
    """Contrast of a part of the screen with its background."""
    assert segment.style is not None
    assert segment.style.color is not None
    assert segment.style.bgcolor is not None
    return contrast(
        Color.from_rich_color(segment.style.color), Color.from_rich_color(segment.style.bgcolor)
    )


def too_faint(console: Console, within: Region | None = None) -> list[tuple[str, float]]:
    """Texts below 4.5 : 1 and lines or signs below 3 : 1, each with its ratio."""
    found = []
    for text, segment in drawn(console, within):
        has_letters = any(char.isalnum() for char in text)
        measured = ratio(segment)
        if measured < (MIN_TEXT_CONTRAST if has_letters else MIN_CONTRAST):
            found.append((text, round(measured, 2)))
    return found
