"""Training control: thread-safe stop, pause and requests to a running trainer."""

import threading

_POLL_SECONDS = 0.1


class TrainingControl:
    """Requests to a trainer; each takes effect within one step or evaluation batch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._running = threading.Event()
        self._running.set()
        self._evaluate = threading.Event()
        self._sample = threading.Event()
        self._checkpoint = threading.Event()

    def stop(self) -> None:
        """Save a checkpoint and end training, also while paused."""
        with self._lock:
            self._stop.set()
            self._running.set()

    def pause(self) -> None:
        """Wait before the next step until `resume` or `stop`."""
        with self._lock:
            if not self._stop.is_set():
                self._running.clear()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._running.set()

    def evaluate_now(self) -> None:
        """Evaluate before the next step."""
        self._evaluate.set()

    def sample_now(self) -> None:
        """Draw a sample before the next step."""
        self._sample.set()

    def checkpoint_now(self) -> None:
        """Save a checkpoint before the next step."""
        self._checkpoint.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the trainer waits or will wait before its next step."""
        return not self._running.is_set()

    def has_request(self) -> bool:
        """Whether an evaluation, sample or checkpoint is requested."""
        return self._evaluate.is_set() or self._sample.is_set() or self._checkpoint.is_set()

    def wait_while_paused(self) -> None:
        """Block until `resume`, `stop` or a request."""
        while self.paused and not self.has_request():
            self._running.wait(_POLL_SECONDS)

    def take_evaluate(self) -> bool:
        """Whether an evaluation was requested; clears the request."""
        return _take(self._evaluate)

    def take_sample(self) -> bool:
        """Whether a sample was requested; clears the request."""
        return _take(self._sample)

    def take_checkpoint(self) -> bool:
        """Whether a checkpoint was requested; clears the request."""
        return _take(self._checkpoint)


def _take(request: threading.Event) -> bool:
    # A request set after this check stays set.
    if not request.is_set():
        return False
    request.clear()
    return True
