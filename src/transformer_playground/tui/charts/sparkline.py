"""Sparklines: values as one row of characters."""

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
# Dots of a braille character that fill a column from the bottom up to each height.
_LEFT, _RIGHT = (0x00, 0x40, 0x44, 0x46, 0x47), (0x00, 0x80, 0xA0, 0xB0, 0xB8)
_DOTS = 4
# The first losses would hide all that comes after them: one in so many does not count.
_SKIPPED_SHARE = 10
_LEAST_TO_SKIP = 4


def share_blocks(shares: Sequence[float]) -> str:
    """A block for each share; the lowest block is 0, the highest 1."""
    highest = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(min(1.0, max(0.0, share)) * highest)] for share in shares)


def loss_curve(losses: Sequence[float | None], newest: float | None, cells: int) -> str:
    """Losses of a run as bars of braille dots, two in a cell; "" if none can be drawn.

    The height does not count the first losses, which would hide the rest.

    Args:
        losses: Evenly spaced losses; None, which has no bar, for one that is not finite.
        newest: The last loss, which the evenly spaced ones may not reach.
        cells: Width, at least 1.
    """
    shown = [*losses, newest] if len(losses) > 1 else [*losses]
    skipped = max(1, len(shown) // _SKIPPED_SHARE) if len(shown) >= _LEAST_TO_SKIP else 0
    counted = [loss for loss in shown[skipped:] if loss is not None]
    if not counted:
        return ""
    low, high = min(counted), max(counted)
    heights = [_height(loss, low, (high - low) or 1.0) for loss in shown]
    dots = [heights[place * len(heights) // (2 * cells)] for place in range(2 * cells)]
    return "".join(
        chr(0x2800 | _LEFT[left] | _RIGHT[right])
        for left, right in zip(dots[::2], dots[1::2], strict=True)
    )


def _height(loss: float | None, low: float, span: float) -> int:
    if loss is None:
        return 0
    return 1 + round((_DOTS - 1) * min(1.0, max(0.0, (loss - low) / span)))
