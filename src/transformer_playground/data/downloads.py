"""Named public files, fetched with a pinned hash."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformer_playground.config.prepare import Download
from transformer_playground.errors import DataError
from transformer_playground.files import sha256_file

_TIMEOUT_SECONDS = 30


def fetch(
    name: str, download: Download, folder: Path, *, report: Callable[[str], None]
) -> str | None:
    """Make sure that a named download lies in `folder`; fetch it when it is missing.

    The file gets its name only after its SHA-256 was verified.

    Returns:
        A note for the user, or None when there is nothing to say.

    Raises:
        DataError: The network cannot be reached, or what came has another hash.
        OSError: The disk refused.
    """
    path = folder / download.file
    if path.exists():
        if sha256_file(path) == download.sha256:
            return None
        return f"{path} differs from the pinned download '{name}' and was left as it is."
    report(f"Fetching {download.url}")
    folder.mkdir(parents=True, exist_ok=True)
    _retrieve(name, download, path)
    return f"{path} was fetched from {download.url} and has the pinned SHA-256."


def _retrieve(name: str, download: Download, path: Path) -> None:
    # Slow to import and seldom needed.
    import pooch

    pooch.get_logger().setLevel(logging.CRITICAL)
    by_hand = f"Put the file at {path} by hand, or remove '{name}' from prepare.fetch."
    # Streamed, a refused download would leave its connection open; texts fit into memory.
    downloader: Any = pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS, stream=False)
    try:
        pooch.retrieve(
            download.url,
            known_hash=f"sha256:{download.sha256}",
            fname=path.name,
            path=path.parent,
            downloader=downloader,
        )
    except ValueError:
        raise DataError(
            f"{download.url} gave a file without the pinned SHA-256 {download.sha256}; "
            "nothing was kept.",
            f"Check prepare.downloads.{name}. {by_hand}",
        ) from None
    except OSError as error:
        # The network's errors are OSErrors without a number; the disk's have one.
        if error.errno is not None:
            raise
        raise DataError(f"{download.url} could not be fetched.", by_hand) from error
