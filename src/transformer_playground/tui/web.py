"""Web server of the console, for browsers of this machine only."""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from transformer_playground.errors import UsageError
from transformer_playground.jsonvalues import as_int

HOST = "127.0.0.1"
# Textual's own page loads a font from a third-party server.
_PAGES = Path(__file__).with_name("pages")
# Columns or rows; far above any screen.
_LARGEST = 2000
_LOCAL = {"127.0.0.1", "localhost", "::1"}


def check_port(port: int) -> None:
    """Check that the server can listen on a port.

    Raises:
        UsageError: The port is taken, or not allowed.
    """
    try:
        with socket.create_server((HOST, port)):
            return
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Port {port} of {HOST} cannot be used: {reason}.", "Choose another with --port."
        ) from error


def new_token() -> str:
    """A new secret for the address of one server: 256 random bits."""
    return secrets.token_urlsafe(32)


def address(port: int, token: str) -> str:
    """The address that opens the console; who knows it can use the console."""
    return f"http://{HOST}:{port}/{token}/"


def serve(command: str, port: int, token: str) -> None:
    """Serve a console, started with a shell command for each visitor, until Ctrl-C."""
    title = "Transformer Playground"
    _LocalServer(token, command, HOST, port, title=title, templates_path=_PAGES).serve()


class _LocalServer(Server):
    """A server that logs nothing and answers only those who know its token.

    Every path begins with the token, so that another user or another program of this machine, or a
    page of another server in the user's browser, gets no console.
    """

    def __init__(self, token: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._token = token
        self._sockets: set[web.WebSocketResponse] = set()

    def initialize_logging(self) -> None:
        """Log no requests."""

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: the caller has printed the address."""

    async def _make_app(self) -> web.Application:
        served = await super()._make_app()
        outer = web.Application(middlewares=[self._check])
        outer.add_subapp(f"/{self._token}/", served)
        return outer

    @web.middleware
    async def _check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.path.lstrip("/").partition("/")[0]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            raise web.HTTPForbidden(text="Open the address that tp-tui --web has printed.")
        # Another name of this machine can belong to another server (DNS rebinding).
        if _split(f"http://{request.host}") not in self._origins:
            raise web.HTTPForbidden(text="This console is for pages of this machine only.")
        return await handler(request)

    @property
    def _origins(self) -> set[tuple[str, str | None, int | None]]:
        return {("http", name, self.port) for name in _LOCAL}

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Start a console, unless a page from elsewhere connects through the user's browser."""
        if _split(request.headers.get("Origin", "")) not in self._origins:
            raise web.HTTPForbidden(text="This console is for pages of this machine only.")
        sizes = [request.query.get(key, "80") for key in ("width", "height")]
        if not all(size.isdecimal() and 0 < int(size[:9]) <= _LARGEST for size in sizes):
            raise web.HTTPBadRequest(text=f"A size is 1 to {_LARGEST} cells.")
        return await super().handle_websocket(request)

    async def _process_messages(
        self, websocket: web.WebSocketResponse, app_service: AppService
    ) -> None:
        set_size = app_service.set_terminal_size

        async def set_possible_size(width: object, height: object) -> None:
            # Each cell costs memory and time in the console.
            if _is_size(width) and _is_size(height):
                await set_size(cast("int", width), cast("int", height))

        app_service.set_terminal_size = set_possible_size  # type: ignore[method-assign]
        self._sockets.add(websocket)
        try:
            await super()._process_messages(websocket, app_service)
        finally:
            self._sockets.discard(websocket)

    async def on_shutdown(self, app: web.Application) -> None:
        """Close every page: each console then saves what it trains, and ends."""
        await asyncio.gather(*(socket.close(code=1001) for socket in tuple(self._sockets)))


def _is_size(value: object) -> bool:
    cells = as_int(value)
    return cells is not None and 0 < cells <= _LARGEST


def _split(origin: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of an origin; empty if it is not valid."""
    try:
        parts = urlsplit(origin)
        return parts.scheme, parts.hostname, parts.port or 80
    except ValueError:
        return "", None, None
