"""What training steps use: time of their parts (batches, forward, backward, optimizer), memory."""

import time
from typing import Any, Literal, get_args

import torch

from transformer_playground.model.device import current_memory
from transformer_playground.training.system_metrics import SystemMetrics

Part = Literal["data", "forward", "backward", "optimizer"]
PARTS: tuple[Part, ...] = get_args(Part)


class StepParts:
    """Sums of the parts of steps, by the clock of the host.

    An accelerator works on while the host goes on, and waiting for it would slow training down:
    there only the time of the batches is known.

    Args:
        device: Where the model computes.
        system: Measures the machine; None = it is not measured.
    """

    def __init__(self, device: torch.device, system: SystemMetrics | None = None) -> None:
        self._device, self._system = device, system
        self._is_known = device.type == "cpu"
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._steps = 0
        self._begin = self._last = self._data = 0.0

    def begin(self) -> None:
        """Begin a step."""
        self._begin = self._last = time.perf_counter()
        self._data = self._seconds["data"]

    def lap(self, part: Part) -> None:
        """Count the time since the last call for a part."""
        now = time.perf_counter()
        self._seconds[part] += now - self._last
        self._last = now

    def end(self) -> dict[str, float]:
        """End a step with its optimizer; returns its seconds, and those of its batches."""
        self.lap("optimizer")
        self._steps += 1
        data = self._seconds["data"] - self._data
        return {"seconds": self._last - self._begin, "data_seconds": data}

    def take(self) -> dict[str, Any]:
        """Mean milliseconds of the parts but the batches, and use of memory and machine.

        The keys are those of `StepLogged`. Starts again.
        """
        is_known = self._is_known and self._steps > 0
        means = {
            f"{part}_ms": 1e3 * self._seconds[part] / self._steps if is_known else None
            for part in PARTS[1:]
        }
        self._seconds, self._steps = dict.fromkeys(PARTS, 0.0), 0
        system = {} if self._system is None else self._system.newest()
        return {**means, "memory": current_memory(self._device), "system": system}
