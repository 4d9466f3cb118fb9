"""Run of the web server: listening, signals and an orderly end."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

from aiohttp import web

from transformer_playground.errors import UsageError
from transformer_playground.serving.app import ApiServer

# Connections that wait to be accepted.
_BACKLOG = 512
# For clients to read answers that are complete.
_SHUTDOWN_SECONDS = 5.0


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 is a free one.

    Raises:
        UsageError: The address or port cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Port {port} of {host} cannot be used: {reason}.", "Choose another with --port."
        ) from error


class Ended(NamedTuple):
    """The signal that ended the server, and whether all accepted requests were answered."""

    signal: signal.Signals
    is_drained: bool


async def run_server(
    server: ApiServer, listening: socket.socket, ready: Callable[[], object]
) -> Ended:
    """`serve_until` the process gets SIGINT or SIGTERM."""
    with ending_signals() as received:
        return await serve_until(received, server, listening, ready)


@contextlib.contextmanager
def ending_signals() -> Iterator[asyncio.Queue[signal.Signals]]:
    """SIGINT and SIGTERM to this process while the block runs, inside an event loop."""
    loop, received = asyncio.get_running_loop(), asyncio.Queue[signal.Signals]()
    handled = (signal.SIGINT, signal.SIGTERM)
    for each in handled:
        loop.add_signal_handler(each, received.put_nowait, each)
    try:
        yield received
    finally:
        for each in handled:
            loop.remove_signal_handler(each)


def quiet_runner(app: web.Application) -> web.AppRunner:
    """Runs an application without logging requests."""
    # A client that sends nonsense is answered, which is no news.
    silent = logging.getLogger(f"{__name__}.silent")
    silent.addHandler(logging.NullHandler())
    silent.propagate = False
    return web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        logger=silent,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )


async def serve_until(
    received: "asyncio.Queue[signal.Signals]",
    server: ApiServer,
    listening: socket.socket,
    ready: Callable[[], object],
) -> Ended:
    """Serve until a signal, then answer what was accepted; a second signal ends at once.

    Args:
        received: Signals.
        server: The server.
        listening: From `open_socket`.
        ready: Called when requests are answered.
    """
    runner = quiet_runner(server.app)
    server.engine.start()
    try:
        await runner.setup()
        site = web.SockSite(runner, listening, backlog=_BACKLOG)
        await site.start()
        ready()
        ended_by = await received.get()
        await site.stop()
        drained = asyncio.create_task(server.drain())
        second = asyncio.create_task(received.get())
        await asyncio.wait((drained, second), return_when=asyncio.FIRST_COMPLETED)
        ended = Ended(ended_by, drained.done())
        if not ended.is_drained:
            server.abort()
        for task in (drained, second):
            task.cancel()
        return ended
    finally:
        await runner.cleanup()
        server.engine.close()
