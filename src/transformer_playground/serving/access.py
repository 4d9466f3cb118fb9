"""Who may use the server: loopback only, or whoever knows the token; never a foreign web page."""

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from transformer_playground.errors import UsageError
from transformer_playground.serving.errors import ApiError

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """Checks of every request.

    Attributes:
        host: Address that the server listens on.
        token: Secret that clients send as `Authorization: Bearer TOKEN`; empty = none.

    Raises:
        UsageError: Other machines can reach `host` and there is no token.
    """

    host: str
    token: str = ""

    def __post_init__(self) -> None:
        if self.token and (not self.token.isascii() or not self.token.isprintable()):
            raise UsageError(
                "The token has characters that HTTP headers cannot hold.",
                "Use letters, digits and punctuation of ASCII.",
            )
        if not self.token and not is_loopback(self.host):
            raise UsageError(
                f"Other machines can reach --host {self.host}, so a token is needed.",
                "Add --token TOKEN (clients send it as their API key), or listen on 127.0.0.1.",
            )

    def check(self, *, host: str, origin: str | None, authorization: str | None) -> None:
        """Check the headers of a request.

        Raises:
            ApiError: It may not be answered.
        """
        # A page of another site reaches a server on loopback under its own name (DNS rebinding).
        if is_loopback(self.host) and _name(f"http://{host}") not in _LOOPBACK_NAMES:
            raise ApiError(
                403, "This server answers requests to localhost only.", code="host_not_allowed"
            )
        # Only browsers send an origin. Ports may differ: an SSH tunnel has a port of its own.
        if origin is not None and urlsplit_or_none(origin) != host:
            raise ApiError(403, "This server does not answer web pages.", code="origin_not_allowed")
        expected, given = f"Bearer {self.token}", authorization or ""
        if self.token and not hmac.compare_digest(
            expected.encode(), given.encode("utf-8", "surrogateescape")
        ):
            raise ApiError(401, "The API key is missing or wrong.", code="invalid_api_key")


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def urlsplit_or_none(origin: str) -> str | None:
    """Host and port of an origin of plain HTTP; None for any other."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc if parts.scheme == "http" else None
