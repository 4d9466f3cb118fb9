"""Busy time of the processor's cores."""

from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class CoreTimes:
    """Seconds since the system was started, of a core or of all together.

    Attributes:
        total: Sum of the times of all kinds.
        idle: Those in which nothing was computed.
    """

    total: float
    idle: float

    @classmethod
    def of(cls, times: Any) -> "CoreTimes":
        """From an answer of `psutil.cpu_times`."""
        # On Linux the times of guests are also in `user` and `nice`.
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return cls(sum(times) - guests, times.idle + getattr(times, "iowait", 0.0))

    @classmethod
    def of_all(cls) -> "CoreTimes | None":
        """Those of all cores together; None where the system does not tell them."""
        try:
            return cls.of(psutil.cpu_times())
        except (OSError, RuntimeError, psutil.Error):
            return None

    def busy_since(self, earlier: "CoreTimes") -> float | None:
        """Seconds of computing since an earlier reading; None if the clock did not advance."""
        passed = self.total - earlier.total
        if passed <= 0:
            return None
        return min(passed, max(0.0, passed - (self.idle - earlier.idle)))

    def share_since(self, earlier: "CoreTimes") -> float | None:
        """Share of the time in use since an earlier reading, 0 to 1; None as in `busy_since`."""
        busy = self.busy_since(earlier)
        return None if busy is None else busy / (self.total - earlier.total)
