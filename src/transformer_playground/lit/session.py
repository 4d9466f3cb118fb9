"""A session of LIT: our application, LIT's process, and the end of both."""

import asyncio
import contextlib
import json
import secrets
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aiohttp import web

from transformer_playground.errors import PlaygroundError
from transformer_playground.lit.backend import Backend
from transformer_playground.lit.predictions import AskedModel
from transformer_playground.serving.access import Access
from transformer_playground.serving.server import ending_signals, open_socket, quiet_runner

HOST = "127.0.0.1"
_PAGE = Path(__file__).with_name("page.py")
# LIT has nothing to save.
_GRACE_SECONDS = 2.0
_LAST_LINES = 3


class LitError(PlaygroundError):
    """LIT's process ended by itself."""


@dataclass(frozen=True)
class LitSession:
    """What a session shows.

    Attributes:
        python: Interpreter of an environment with LIT.
        models: The models.
        datasets: Their datasets.
        style: HTML that goes into the head of the page.
    """

    python: Path
    models: Sequence[AskedModel]
    datasets: Sequence[Mapping[str, Any]]
    style: str


async def show(
    session: LitSession,
    listening: socket.socket,
    *,
    notify: Callable[[str], object],
    ready: Callable[[], object],
) -> signal.Signals:
    """Show a session until SIGINT or SIGTERM, which is returned.

    LIT's process ends with this one, even if this one is killed.

    Args:
        session: What to show.
        listening: Socket of the page, from `open_socket`.
        notify: Called with a sentence about an internal error.
        ready: Called when the page can be opened.

    Raises:
        LitError: LIT's process ended by itself.
    """
    token = secrets.token_urlsafe(32)
    backend = Backend(session.models, session.datasets, Access(HOST, token), notify)
    with ending_signals() as signals, tempfile.TemporaryFile() as log:
        async with _serving(backend) as url:
            order = {
                "url": url,
                "token": token,
                "socket": listening.fileno(),
                "port": listening.getsockname()[1],
                "style": session.style,
            }
            async with _process(session.python, order, listening.fileno(), log) as process:
                ended = asyncio.create_task(process.wait())
                stopped = asyncio.create_task(signals.get())
                is_ready = asyncio.create_task(backend.is_ready.wait())
                first = asyncio.FIRST_COMPLETED
                try:
                    await asyncio.wait((ended, stopped, is_ready), return_when=first)
                    if is_ready.done():
                        ready()
                    await asyncio.wait((ended, stopped), return_when=first)
                    if stopped.done():
                        return stopped.result()
                    raise LitError(
                        f"LIT ended with exit code {ended.result()}: {_last_words(log)}",
                        "Another environment can be named with --env FOLDER.",
                    )
                finally:
                    for task in (ended, stopped, is_ready):
                        task.cancel()


@contextlib.asynccontextmanager
async def _serving(backend: Backend) -> AsyncIterator[str]:
    """Serve the application on a free port; its URL."""
    with open_socket(HOST, 0) as own:
        runner = quiet_runner(backend.app)
        try:
            await runner.setup()
            await web.SockSite(runner, own).start()
            yield f"http://{HOST}:{own.getsockname()[1]}"
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def _process(
    python: Path, order: Mapping[str, Any], socket_number: int, log: IO[bytes]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """LIT's process, which has ended after the block."""
    process = await asyncio.create_subprocess_exec(
        python,
        # Neither this folder nor the user's packages may take the place of LIT's.
        "-I",
        _PAGE,
        stdin=asyncio.subprocess.PIPE,
        stdout=log,
        stderr=log,
        pass_fds=(socket_number,),
        # Ctrl-C is for this process, which ends that one.
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        # A process that failed at once is reported by its exit code.
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        yield process
    finally:
        if process.returncode is None:
            # The end of its input ends it.
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _GRACE_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines()]
    return " ".join([line for line in lines if line][-_LAST_LINES:]) or "it said nothing"
