"""Requests of other processes: a thread that reads them, and the answers of the trainer."""

import threading
from collections.abc import Callable, Sequence

from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.requests import Action, Refused, Request, take_requests
from transformer_playground.terminal import visible_line
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import Event, RequestAnswered, Warned

READ_SECONDS = 1.0


class RequestReader:
    """Passes the requests in a run's folder to its trainer: `with RequestReader(...): ...`.

    A thread of its own lists the folder once a second, so that a step of training costs nothing.
    What arrives too late is removed at the end.

    Args:
        run: The run, whose lock the caller holds.
        session: Session of the lock.
        control: Receives the requests.
    """

    def __init__(self, run: RunFolder, session: str, control: TrainingControl) -> None:
        self._run, self._session, self._control = run, session, control
        self._known: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="run-requests", daemon=True)

    def __enter__(self) -> "RequestReader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        take_requests(self._run, self._session, self._known)

    def read(self) -> None:
        """Pass on all requests that are there now."""
        taken = take_requests(self._run, self._session, self._known)
        refused = [each for each in taken if isinstance(each, Refused)]
        if refused:
            first = f"{refused[0].name}.json: {visible_line(refused[0].reason)}"
            more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
            self._control.warn(f"request refused: {first}{more}")
        for each in taken:
            if isinstance(each, Request):
                self._control.receive(each)

    def _read_on(self) -> None:
        while True:
            self.read()
            if self._ended.wait(READ_SECONDS):
                return


class Answers:
    """Tells by events what became of the requests of other processes.

    Attributes:
        completed: What the trainer has done since it took the requests.
    """

    def __init__(self, control: TrainingControl, emit: Callable[[Event], None]) -> None:
        self._control, self._emit = control, emit
        self.completed: set[Action] = set()

    def give(self, step: int, requests: Sequence[Request], *, ending: bool) -> None:
        """Answer the requests that were taken before this step, and those that switch.

        Args:
            step: Steps done.
            requests: Requests that are now completed, or could not be.
            ending: Whether training ends, with its checkpoint saved.
        """
        for request in requests:
            self._answer(step, request, done=request.action in self.completed)
        self.completed.clear()
        # While paused, the others are answered when the pause has begun.
        if ending or not self._control.paused:
            self.give_switches(step, ending=ending)

    def give_switches(self, step: int, *, ending: bool = False) -> None:
        """Answer requests to pause, resume and, when training ends, stop; pass on warnings."""
        control = self._control
        if not control.has_news:
            return
        for message in control.take_warnings():
            self._emit(Warned(step=step, message=message))
        for request in control.take_switches(ending=ending):
            is_void = request.action == "pause" and control.stopping
            self._answer(step, request, done=not is_void)

    def _answer(self, step: int, request: Request, *, done: bool) -> None:
        self._emit(
            RequestAnswered(
                step=step,
                request=request.name,
                action=request.action,
                sender=request.sender,
                done=done,
            )
        )
