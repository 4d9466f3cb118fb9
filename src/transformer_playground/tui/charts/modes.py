"""How charts draw their values: on a log axis, smoothed, with all points; for each quantity."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

MAX_SMOOTHING = 0.99
SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, MAX_SMOOTHING)


@dataclass(frozen=True)
class ChartMode:
    """How the values of a chart are drawn.

    Attributes:
        log_y: Draw y as its logarithm; values that are not positive are dropped and counted.
        smoothing: Weight of the debiased moving average, from 0 (none) to 0.99.
        shows_all: Whether the y axis reaches all points, those at the start and outliers too.
    """

    log_y: bool = False
    smoothing: float = 0.0
    shows_all: bool = False

    @property
    def smoother(self) -> "ChartMode":
        """With the next stronger smoothing; none after the strongest."""
        stronger = [weight for weight in SMOOTHINGS if weight > self.smoothing]
        return replace(self, smoothing=stronger[0] if stronger else SMOOTHINGS[0])

    @property
    def text(self) -> str:
        """What is not drawn as it was measured."""
        smoothing = f"smooth {self.smoothing:.2f}" if self.smoothing else ""
        return " · ".join(part for part in ("log" if self.log_y else "", smoothing) if part)


AS_MEASURED = ChartMode()
"""Linear, without smoothing."""


class ChartModes:
    """The mode of each quantity, by its id; `AS_MEASURED` at first.

    Args:
        logarithmic: Quantities with a log axis, as a settings file has them.
    """

    def __init__(self, logarithmic: Iterable[object] = ()) -> None:
        self._modes = {
            key: replace(AS_MEASURED, log_y=True) for key in logarithmic if isinstance(key, str)
        }

    def of(self, key: str) -> ChartMode:
        return self._modes.get(key, AS_MEASURED)

    def change(self, key: str, change: Callable[[ChartMode], ChartMode]) -> None:
        """Change the mode of one quantity."""
        self._modes[key] = change(self.of(key))

    @property
    def logarithmic(self) -> list[str]:
        """Quantities with a log axis."""
        return [key for key, mode in self._modes.items() if mode.log_y]
