"""llama.cpp as a server in a child process, and a client of it."""

import contextlib
import http.client
import importlib.util
import json
import math
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import psutil

from transformer_playground.errors import ExportError
from transformer_playground.export.gguf.server_process import KEY_VARIABLE
from transformer_playground.terminal import visible_line

PROGRAM = "llama-server"
_PACKAGE = "xllamacpp"
_CHILD = "transformer_playground.export.gguf.server_process"
_START_SECONDS = 600.0
_ANSWER_SECONDS = 300.0
_POLL_SECONDS = 0.05
_SMALL = 1 << 25
_SHOWN = 300
_FORCED = 1e4


@dataclass(frozen=True)
class Installation:
    """A llama.cpp that was found.

    Attributes:
        name: Its name and version.
        program: Path of `llama-server`; None = the package xllamacpp.
    """

    name: str
    program: str | None


def find_installation() -> Installation:
    """The installed llama.cpp: the package xllamacpp, or else `llama-server` on PATH.

    Raises:
        ExportError: There is none.
    """
    if importlib.util.find_spec(_PACKAGE) is not None:
        return Installation(f"llama.cpp ({_PACKAGE} {version(_PACKAGE)})", None)
    program = shutil.which(PROGRAM)
    if program is not None:
        return Installation(f"llama.cpp ({program})", program)
    raise ExportError(
        "No llama.cpp was found, which the export is compared with the run by.",
        "Install the optional part of this program for exports (pip install "
        f"'transformer-playground[export]'), put {PROGRAM} on PATH, or use --no-verify.",
    )


class LlamaCpp:
    """Client of a running server.

    Args:
        port: On the loopback interface.
        key: The key that the server was started with.
        name: Name and version of the program.
        plain_token: Any token of complete characters.
    """

    def __init__(self, port: int, key: str, name: str, plain_token: int) -> None:
        self.name = name
        self._plain_token = plain_token
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def logprobs(self, prompt: Sequence[int], count: int) -> dict[int, float]:
        """Natural log-probabilities of the `count` most likely tokens after a prompt.

        Args:
            prompt: At least one token, fewer than the context.
            count: Number of tokens.

        Raises:
            ExportError: The server failed.
        """
        answer = self._post(
            "/completion",
            {
                "prompt": list(prompt),
                "n_predict": 1,
                "n_probs": count,
                "cache_prompt": True,
                # The server keeps to itself what it drew if that is no complete character.
                "logit_bias": [[self._plain_token, _FORCED]],
            },
        )
        try:
            entries = answer["completion_probabilities"][0]["top_logprobs"]
        except (KeyError, IndexError, TypeError):
            raise ExportError(f"{self.name} gives no log-probabilities.") from None
        return {entry["id"]: _number(entry["logprob"]) for entry in entries}

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without start and end; names of special tokens are ordinary text.

        Raises:
            ExportError: The server failed.
        """
        answer = self._post(
            "/tokenize", {"content": text, "add_special": False, "parse_special": False}
        )
        return [int(token) for token in answer["tokens"]]

    def draw(self, prompt: str, **settings: Any) -> list[int]:
        """The tokens of an answer to a prompt, with settings of `/completion`.

        Raises:
            ExportError: The server failed.
        """
        request = {"prompt": prompt, "return_tokens": True, **settings}
        return [int(token) for token in self._post("/completion", request)["tokens"]]

    def is_ready(self) -> bool:
        """Whether the model is loaded."""
        try:
            self._connection.request("GET", "/health", headers=self._headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False
        return answer.status == http.HTTPStatus.OK

    def _connect(self) -> None:
        # The annotation claims that there always is a socket.
        opened: socket.socket | None = self._connection.sock
        if opened is None:
            self._connection.connect()
            # The head and the body of a request are sent one after the other.
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, path: str, request: dict[str, Any]) -> Any:
        body = json.dumps(request).encode()
        was_open = self._connection.sock is not None
        try:
            try:
                answer, content = self._exchange(path, body)
            except ConnectionError:
                self._connection.close()
                if not was_open:
                    raise
                # The server closes a connection that was idle for some seconds.
                answer, content = self._exchange(path, body)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            reason = str(error) or type(error).__name__
            raise ExportError(f"{self.name} stopped while it read the export: {reason}.") from error
        if answer.status != http.HTTPStatus.OK:
            raise ExportError(f"{self.name} refused the export: {_reason(content)}.")
        return json.loads(content)

    def _exchange(self, path: str, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        self._connect()
        self._connection.request("POST", path, body, self._headers)
        answer = self._connection.getresponse()
        return answer, answer.read()


@contextlib.contextmanager
def serving(path: Path, context: int, *, plain_token: int) -> Iterator[LlamaCpp]:
    """Load a GGUF file in a child process, so that a crash there is only an error here.

    Args:
        path: The file.
        context: Number of tokens of a sequence.
        plain_token: Any token of complete characters.

    Raises:
        ExportError: There is no llama.cpp, or it does not load the file.
    """
    found = find_installation()
    key, port = secrets.token_hex(16), free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            _command(found, path, context, port),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, KEY_VARIABLE: key},
        )
        client = LlamaCpp(port, key, found.name, plain_token)
        try:
            _wait(process, client, log)
            yield client
        finally:
            client.close()
            process.kill()
            process.communicate()


def _command(found: Installation, path: Path, context: int, port: int) -> list[str]:
    if found.program is None:
        return [sys.executable, "-m", _CHILD, *map(str, (path, context, port, _threads(path)))]
    # In float32, without kernels that reorder sums.
    settings = {
        "--model": path, "--ctx-size": context, "--host": "127.0.0.1", "--port": port,
        "--parallel": 1, "--threads": _threads(path), "--n-gpu-layers": 0,
        "--cache-type-k": "f32", "--cache-type-v": "f32", "--flash-attn": "off",
    }  # fmt: skip
    words = [str(word) for pair in settings.items() for word in pair]
    return [found.program, "--no-warmup", "--swa-full", *words]


def _threads(path: Path) -> int:
    """Threads that wait for each other cost more than they save in a small model."""
    if path.stat().st_size < _SMALL:
        return 1
    return psutil.cpu_count(logical=False) or 1


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], client: LlamaCpp, log: IO[bytes]) -> None:
    """Wait until the model is loaded."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if client.is_ready():
            return
        time.sleep(_POLL_SECONDS)
    raise ExportError(f"{client.name} does not load the export: {_last_words(log)}.")


def _last_words(log: IO[bytes]) -> str:
    """The end of what a process wrote, as one line."""
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").split("\n")
    told = [" ".join(line.split()) for line in lines if "error" in line.lower()]
    told = told or [" ".join(line.split()) for line in lines if line.strip()]
    return visible_line(" · ".join(told[-2:])[-_SHOWN:].rstrip(".")) or "it stopped without a word"


def _reason(content: bytes) -> str:
    try:
        message = str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = content.decode("utf-8", "replace")
    return visible_line(" ".join(message.split())[:_SHOWN].rstrip("."))


def _number(value: float | None) -> float:
    """A log-probability; JSON has no infinity."""
    return -math.inf if value is None else float(value)
