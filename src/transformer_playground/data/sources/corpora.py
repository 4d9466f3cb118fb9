"""Raw inputs: which files a dataset is made of, and where they come from."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer_playground.config.prepare import Download, PrepareConfig
from transformer_playground.errors import DataError
from transformer_playground.files import replace_file, sha256_file

SUFFIXES = (".txt", ".xml")
"""What a model of our own is trained on."""
FINETUNING_SUFFIXES = (*SUFFIXES, ".csv")
"""What a pretrained model is finetuned on: the rows of a CSV are documents of their own."""
_BUNDLED = Path(__file__).parents[1] / "bundled"
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class RawInput:
    """One input file as it was when the dataset was made."""

    path: Path
    size: int
    sha256: str

    @property
    def identity(self) -> dict[str, str | int]:
        """What `meta.pkl` records, and what a later look at the folder is compared with."""
        return {"name": self.path.name, "size": self.size, "sha256": self.sha256}


def bundled_text(name: str) -> Path:
    """Path of a text that comes with the package."""
    return _BUNDLED / f"{name}.txt"


def input_paths(raw_dir: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """List the files of a folder with these suffixes by name; hidden files do not count.

    Links to plain files are followed, folders are not entered.

    Raises:
        DataError: `raw_dir` is a file.
    """
    if not raw_dir.exists():
        return []
    if not raw_dir.is_dir():
        raise DataError(f"{raw_dir} is a file.", "Let prepare.raw_dir name a folder.")
    return sorted(
        path
        for path in raw_dir.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def find_inputs(raw_dir: Path, suffixes: Sequence[str] = SUFFIXES) -> list[RawInput]:
    """Hash every input file of a folder.

    Raises:
        DataError: `raw_dir` is a file.
        OSError: A file cannot be read.
    """
    return [_raw_input(path) for path in input_paths(raw_dir, suffixes)]


def _raw_input(path: Path) -> RawInput:
    return RawInput(path, path.stat().st_size, sha256_file(path))


def expected_inputs(config: PrepareConfig, suffixes: Sequence[str] = SUFFIXES) -> list[RawInput]:
    """List what `collect_inputs` would find now, as far as it can be known without writing."""
    found = find_inputs(config.raw_dir, suffixes)
    if found or config.fetch or config.bundled is None:
        return found
    return [_raw_input(bundled_text(config.bundled))]


def collect_inputs(
    config: PrepareConfig,
    *,
    report: Callable[[str], None],
    suffixes: Sequence[str] = SUFFIXES,
) -> tuple[list[RawInput], list[str]]:
    """Bring the inputs together: what `fetch` names, what lies in raw_dir, else the bundled text.

    Returns:
        The inputs, and notes for the user on what was fetched or seeded.

    Raises:
        DataError: There is no text at all, or a download failed.
        OSError: The disk refused.
    """
    notes = _fetch_all(config, report, suffixes)
    found = find_inputs(config.raw_dir, suffixes)
    if not found and config.bundled is not None:
        notes.append(_seed(config.raw_dir, config.bundled))
        report(notes[-1])
        found = find_inputs(config.raw_dir, suffixes)
    if not found:
        raise _nothing_found(config.raw_dir, suffixes)
    return found, notes


def _nothing_found(raw_dir: Path, suffixes: Sequence[str]) -> DataError:
    message = f"{raw_dir} has no {_either(suffixes)} file to prepare."
    if ".csv" in suffixes:
        return DataError(message, "Put UTF-8 text files, plenary protocols or CSV tables there.")
    if input_paths(raw_dir, (".csv",)):
        return DataError(
            message,
            "The CSV there is read only to finetune a pretrained model (kind = 'lora'), whose "
            "documents its rows become; save its text as .txt for kind = 'gpt'.",
        )
    return DataError(message, "Put UTF-8 text files or plenary protocols there.")


def _either(suffixes: Sequence[str]) -> str:
    *others, last = suffixes
    return f"{', '.join(others)} or {last}"


def _fetch_all(
    config: PrepareConfig, report: Callable[[str], None], suffixes: Sequence[str]
) -> list[str]:
    notes = []
    for name in config.fetch:
        download = config.downloads[name]
        if Path(download.file).suffix.lower() not in suffixes:
            raise DataError(
                f"The download '{name}' would be saved as {download.file}, "
                f"but only {' and '.join(suffixes)} files are prepared.",
                f"Change prepare.downloads.{name}.file.",
            )
        if note := fetch(name, download, config.raw_dir, report=report):
            notes.append(note)
    return notes


def _seed(raw_dir: Path, name: str) -> str:
    source = bundled_text(name)
    raw_dir.mkdir(parents=True, exist_ok=True)
    target = raw_dir / source.name
    with source.open("rb") as content:
        replace_file(target, lambda file: shutil.copyfileobj(content, file))
    return f"{raw_dir} had no text, so the bundled {source.name} was copied there."


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
