"""Drawing samples in a worker thread, and what comes of it piece by piece.

The console's own thread asks, stops and drains; `SamplingService.work` runs in a worker thread and
is the only place here that touches torch.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.errors import PlaygroundError
from transformer_playground.runs.layout import open_run
from transformer_playground.tui.state.model_cache import ModelCache

if TYPE_CHECKING:
    from transformer_playground.runs.sampling import LoadedRun, Piece

ALTERNATIVES = 6
"""How many of the likeliest tokens are kept beside each drawn one."""
# Drained ten times a second, so many pieces hold nobody up.
_MOST_UPDATES = 50_000
# How long showing them may keep the console busy at a time, however fast a model is.
_BUSY_SECONDS = 0.03
_AT_ONCE = 256


@dataclass(frozen=True)
class Source:
    """A checkpoint of a run.

    Attributes:
        run_id: The run.
        checkpoint: auto, best, last or a file name.
    """

    run_id: str
    checkpoint: str = "auto"


@dataclass(frozen=True)
class Ask:
    """The same to be drawn from each of some checkpoints.

    Attributes:
        sources: The checkpoints.
        prompt: What to go on from; None leaves it to each run's saved config.
        options: A `[sample]` table that lies over the saved one.
        threads: CPU threads to compute with; None leaves the number alone.
    """

    sources: tuple[Source, ...]
    prompt: str | None
    options: Mapping[str, Any]
    threads: int | None = None


@dataclass(frozen=True)
class Began:
    """A source is loaded and its first token comes next."""

    column: int
    loaded: "LoadedRun"


@dataclass(frozen=True)
class Drawn:
    """The next piece of a source."""

    column: int
    piece: "Piece"


@dataclass(frozen=True)
class Failed:
    """A source gives nothing more, and why."""

    column: int
    problem: str


Update = Began | Drawn | Failed


class Drawing:
    """One `Ask` on its way.

    Args:
        ask: What to draw.
    """

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self._updates: list[Update] = []
        self._backlog: list[Update] = []
        self._room = threading.Condition()
        self._stopping = False
        self._over = False
        self._seconds = 0.0

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come but what `drain` has not given yet."""
        return self._over

    @property
    def is_done(self) -> bool:
        """Whether it is over and `hand_on` has handed on all of it."""
        return self._over and not self._updates and not self._backlog

    @property
    def seconds(self) -> float:
        """How long the drawing itself took, once it is over; loading does not count."""
        return self._seconds

    def stop(self) -> None:
        """End every sample before its next token; never waits."""
        with self._room:
            self._stopping = True
            self._room.notify_all()

    def drain(self) -> list[Update]:
        """What came since the last call, in order."""
        with self._room:
            updates, self._updates = self._updates, []
            self._room.notify_all()
        return updates

    def hand_on(self, show: Callable[[Sequence[Update]], object]) -> bool:
        """Show what came, a portion at a time, for no longer than a key can wait.

        What is left over comes first the next time. A view calls this instead of `drain`.

        Returns:
            Whether anything was shown.
        """
        self._backlog += self.drain()
        deadline = time.monotonic() + _BUSY_SECONDS
        shown = 0
        while shown < len(self._backlog) and time.monotonic() < deadline:
            show(self._backlog[shown : shown + _AT_ONCE])
            shown += _AT_ONCE
        del self._backlog[:shown]
        return shown > 0

    def put(self, update: Update) -> None:
        """Add what has come; waits while nobody drains, but not once stopped."""
        with self._room:
            while len(self._updates) >= _MOST_UPDATES and not self._stopping:
                self._room.wait()
            self._updates.append(update)

    def end(self, seconds: float) -> None:
        """Say that nothing more will come."""
        self._seconds, self._over = seconds, True


class SamplingService:
    """Draws one `Ask` at a time.

    Args:
        runs_dir: Folder of runs.
    """

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._models = ModelCache()
        self._turn = threading.Lock()

    def work(self, drawing: Drawing) -> None:
        """Draw to the end; the body of a worker thread.

        What goes wrong with a source is told in its column, and the others go on.
        """
        began = time.perf_counter()
        with self._turn:
            try:
                began = self._draw(drawing)
            finally:
                drawing.end(time.perf_counter() - began)

    def _draw(self, drawing: Drawing) -> float:
        """Draw from all sources in turn, so that they grow side by side; when it began."""
        if drawing.is_stopping:
            return time.perf_counter()
        with _threads(drawing.ask.threads):
            streams: dict[int, Iterator[Update]] = {}
            for column in range(len(drawing.ask.sources)):
                if not drawing.is_stopping:
                    streams[column] = self._stream(drawing, column)
                    _advance(streams, column, drawing)
            began = time.perf_counter()
            while streams:
                for column in list(streams):
                    _advance(streams, column, drawing)
        return began

    def _stream(self, drawing: Drawing, column: int) -> Iterator[Update]:
        # The first import of torch takes a second or more.
        from transformer_playground.runs.sampling import load_run, stream_pieces
        from transformer_playground.runs.sampling_plan import SampleRequest

        ask = drawing.ask
        source = ask.sources[column]
        request = SampleRequest(
            checkpoint=source.checkpoint,
            prompt=ask.prompt,
            options=ask.options,
            environ=os.environ,
        )
        loaded = load_run(
            open_run(self._runs_dir, source.run_id),
            request,
            load=self._models.load,
            hash_file=self._models.sha256,
        )
        yield Began(column, loaded)
        pieces = stream_pieces(
            loaded, alternatives=ALTERNATIVES, cancelled=lambda: drawing.is_stopping
        )
        for piece in pieces:
            yield Drawn(column, piece)


def _advance(streams: dict[int, Iterator[Update]], column: int, drawing: Drawing) -> None:
    try:
        drawing.put(next(streams[column]))
        return
    except StopIteration:
        pass
    except PlaygroundError as error:
        drawing.put(Failed(column, str(error)))
    except MemoryError:
        drawing.put(Failed(column, "there is not enough memory to sample."))
    except Exception as error:  # noqa: BLE001 - the console outlives any sample
        drawing.put(Failed(column, f"{type(error).__name__}: {error}"))
    del streams[column]


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute with so many CPU threads in this thread.

    New threads take over the number that was set last, so it is put back afterwards.
    """
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
