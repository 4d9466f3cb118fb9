"""Training control: thread-safe stop, pause and requests to a running trainer."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from transformer_playground.runs.requests import Action, Request

POLL_SECONDS = 0.1
_ONCE = frozenset[Action]({"evaluate", "sample", "checkpoint"})


@dataclass(frozen=True)
class Asked:
    """What is asked of the trainer before its next step: evaluate, sample, checkpoint.

    `requests` are those of other processes among them, which are answered.
    """

    actions: frozenset[Action] = frozenset()
    requests: tuple[Request, ...] = ()


_NOTHING = Asked()


class TrainingControl:
    """Requests to a trainer; each takes effect within one step or evaluation batch."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._running = threading.Event()
        self._running.set()
        self._asked: set[Action] = set()
        # Requests of other processes that are not answered yet.
        self._received: list[Request] = []
        self._warnings: list[str] = []

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
        self._ask("evaluate")

    def sample_now(self) -> None:
        """Draw a sample before the next step."""
        self._ask("sample")

    def checkpoint_now(self) -> None:
        """Save a checkpoint before the next step."""
        self._ask("checkpoint")

    def receive(self, request: Request) -> None:
        """Do what another process asks for, and remember to answer."""
        with self._lock:
            self._received.append(request)
            match request.action:
                case "stop":
                    self.stop()
                case "pause":
                    self.pause()
                case "resume":
                    self.resume()
                case action:
                    self._ask(action)

    def warn(self, message: str) -> None:
        """Let the trainer warn about a request."""
        with self._lock:
            self._warnings.append(message)

    def _ask(self, action: Action) -> None:
        with self._lock:
            self._asked.add(action)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the trainer waits or will wait before its next step."""
        return not self._running.is_set()

    def sync(self) -> None:
        """Exchange requests with other processes of the run; here there are none."""

    def between_batches(self) -> None:
        """`sync` within an evaluation or a sample."""

    def on_main(self, work: Callable[[], object]) -> None:
        """Run `work`, which only one process of the run does."""
        work()

    def has_request(self) -> bool:
        """Whether an evaluation, sample or checkpoint is requested."""
        return bool(self._asked)

    @property
    def has_news(self) -> bool:
        """Whether there is a request to answer, or a warning."""
        return bool(self._received or self._warnings)

    def wait_while_paused(self) -> bool:
        """Block until `resume`, `stop` or a request, or until there are news.

        Returns:
            Whether the trainer has to wait on after it has told the news.
        """
        while self.paused and not self.has_request():
            if self.has_news:
                return True
            self._running.wait(POLL_SECONDS)
        return False

    def take(self) -> Asked:
        """Evaluation, sample and checkpoint as far as they are requested; clears the requests."""
        # What is asked for after this check stays until the next call.
        if not self._asked:
            return _NOTHING
        with self._lock:
            asked = Asked(frozenset(self._asked), self._take_received(_ONCE))
            self._asked.clear()
            return asked

    def take_all(self) -> tuple[frozenset[Action], list[Request], list[str]]:
        """Actions, requests of other processes and warnings, for another control; clears them."""
        with self._lock:
            taken = frozenset(self._asked), self._received, self._warnings
            self._asked.clear()
            self._received, self._warnings = [], []
            return taken

    def take_switches(self, *, ending: bool) -> tuple[Request, ...]:
        """Requests of other processes to pause or resume, and if training ends to stop."""
        with self._lock:
            return self._take_received({"pause", "resume", *(("stop",) if ending else ())})

    def take_warnings(self) -> list[str]:
        """Warnings about requests; clears them."""
        with self._lock:
            taken, self._warnings = self._warnings, []
            return taken

    def _take_received(self, actions: "frozenset[Action] | set[Action]") -> tuple[Request, ...]:
        taken = tuple(each for each in self._received if each.action in actions)
        self._received = [each for each in self._received if each.action not in actions]
        return taken
