"""Raw inputs of a dataset: files in raw_dir, downloads and bundled texts."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer_playground.config.prepare import Download, PrepareConfig
from transformer_playground.data.sources.rows import ROW_SUFFIXES
from transformer_playground.errors import DataError
from transformer_playground.files import replace_file, sha256_file
from transformer_playground.formatting import names_text

SUFFIXES = (".txt", ".xml", *ROW_SUFFIXES)
"""Input files for training from scratch."""
FINETUNING_SUFFIXES = (*SUFFIXES, ".csv")
"""Input files for finetuning; each row of a CSV is a document."""
_BUNDLED = Path(__file__).parents[1] / "bundled"
_TIMEOUT_SECONDS = 30
_ADD = "Add UTF-8 text files, rows of text (.jsonl, .parquet)"
# Names in one note or error.
_SHOWN = 10
# Left by version control and file managers.
_INCIDENTAL = {".gitignore", ".gitkeep", ".gitattributes", ".DS_Store", "Thumbs.db", "desktop.ini"}
# Files about the texts, which do not replace them.
_ABOUT = {"readme", "license", "licence", "copying"}


@dataclass(frozen=True)
class RawInput:
    """An input file with its size and hash."""

    path: Path
    size: int
    sha256: str

    @property
    def identity(self) -> dict[str, str | int]:
        """Entry in `meta.pkl`, for the detection of changed inputs."""
        return {"name": self.path.name, "size": self.size, "sha256": self.sha256}


def bundled_text(name: str) -> Path:
    """Path of a text in the package."""
    return _BUNDLED / f"{name}.txt"


def has_suffix(name: str, suffixes: Sequence[str]) -> bool:
    """Whether a file name ends with one of these, in any case; some have two dots."""
    return name.lower().endswith(tuple(suffixes))


def input_paths(raw_dir: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Files of a folder with these suffixes, sorted by name, without hidden files.

    Links to files are followed; subfolders are ignored.

    Raises:
        DataError: `raw_dir` is a file.
    """
    if not raw_dir.exists():
        return []
    if not raw_dir.is_dir():
        raise DataError(f"{raw_dir} is a file.", "Set prepare.raw_dir to a folder.")
    return sorted(
        path
        for path in raw_dir.iterdir()
        if has_suffix(path.name, suffixes) and not path.name.startswith(".") and path.is_file()
    )


def find_inputs(raw_dir: Path, suffixes: Sequence[str] = SUFFIXES) -> list[RawInput]:
    """Input files of a folder, hashed.

    Raises:
        DataError: `raw_dir` is a file.
        OSError: A file cannot be read.
    """
    return [_raw_input(path) for path in input_paths(raw_dir, suffixes)]


def _raw_input(path: Path) -> RawInput:
    return RawInput(path, path.stat().st_size, sha256_file(path))


def is_bundled_copy(identity: Mapping[str, str | int]) -> bool:
    """Whether a `RawInput.identity` is an unchanged copy of a bundled text, under its name."""
    bundled = _BUNDLED / str(identity["name"])
    # Not each text is hashed: the sizes differ.
    return (
        bundled.suffix == ".txt"
        and bundled.is_file()
        and bundled.stat().st_size == identity["size"]
        and sha256_file(bundled) == identity["sha256"]
    )


def _used_inputs(config: PrepareConfig, suffixes: Sequence[str]) -> list[RawInput]:
    """Input files of raw_dir without copies of bundled texts that an earlier run put there.

    Without any other file, the copy of `config.bundled` is used, or all copies if it is not set.

    Raises:
        DataError: `config.bundled` would replace files that cannot be read.
    """
    found = find_inputs(config.raw_dir, suffixes)
    if own := [item for item in found if not is_bundled_copy(item.identity)]:
        return own
    if config.bundled is None or config.fetch:
        return found
    check_unread(config.raw_dir, suffixes)
    return [item for item in found if item.path.stem == config.bundled]


def check_unread(raw_dir: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Check that raw_dir has no files that are not read, before another text takes their place.

    Raises:
        DataError: It has; files such as a README do not count.
    """
    if unread := _unread_texts(raw_dir, suffixes):
        raise DataError(
            f"{raw_dir} has no text of yours that can be read, only {names_text(unread, _SHOWN)}.",
            f"{_unread_hint(raw_dir, suffixes)} To train without it, move it elsewhere.",
        )


def expected_inputs(config: PrepareConfig, suffixes: Sequence[str] = SUFFIXES) -> list[RawInput]:
    """Inputs that `collect_inputs` would return, as far as known without downloads.

    Raises:
        DataError: `raw_dir` is a file, or has only files that cannot be read.
        OSError: A file cannot be read.
    """
    found = _used_inputs(config, suffixes)
    if found or config.fetch or config.bundled is None:
        return found
    return [_raw_input(bundled_text(config.bundled))]


def unused_files(raw_dir: Path, suffixes: Sequence[str] = SUFFIXES) -> dict[str, str]:
    """Name of each file and folder in raw_dir that is not read, with the reason.

    Files that version control and file managers leave are not named.
    """
    if not raw_dir.is_dir():
        return {}
    used = input_paths(raw_dir, suffixes)
    others = sorted(path for path in raw_dir.iterdir() if path not in used)
    return {
        path.name: _why_unused(path, suffixes)
        for path in others
        if path.name not in _INCIDENTAL and path.suffix != ".tmp"
    }


def unused_note(raw_dir: Path, suffixes: Sequence[str] = SUFFIXES) -> list[str]:
    """A note that names what is not read in raw_dir, if there is anything."""
    unused = unused_files(raw_dir, suffixes)
    reasons = [f"{name} ({reason})" for name, reason in unused.items()]
    return [f"not read in {raw_dir}: {names_text(reasons, _SHOWN)}"] if reasons else []


def _why_unused(path: Path, suffixes: Sequence[str]) -> str:
    if path.is_symlink() and not path.exists():
        return "a link without a target"
    if path.is_dir():
        return "a folder"
    if path.name.startswith("."):
        return "hidden"
    if not has_suffix(path.name, suffixes):
        return f"not {_either(suffixes)}"
    return "not a regular file"


def _unread_texts(raw_dir: Path, suffixes: Sequence[str]) -> list[str]:
    """Names in raw_dir that may stand for a text of the user, but are not read."""
    return [
        name
        for name in unused_files(raw_dir, suffixes)
        if not name.startswith(".")
        and Path(name).stem.casefold() not in _ABOUT
        and not _is_empty_folder(raw_dir / name)
    ]


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def collect_inputs(
    config: PrepareConfig,
    *,
    report: Callable[[str], None],
    suffixes: Sequence[str] = SUFFIXES,
) -> tuple[list[RawInput], list[str]]:
    """Download missing files, then list the files in raw_dir; an empty one gets the bundled text.

    A copy of the bundled text from an earlier run is not used beside other files.

    Returns:
        The inputs, and notes for the user about downloaded and copied files.

    Raises:
        DataError: There is no text, or a download failed.
        OSError: While writing.
    """
    notes = _fetch_all(config, report, suffixes)
    found = _used_inputs(config, suffixes)
    if not found and config.bundled is not None:
        notes.append(_seed(config.raw_dir, config.bundled))
        report(notes[-1])
        found = _used_inputs(config, suffixes)
    if not found:
        raise _nothing_found(config.raw_dir, suffixes)
    return found, notes


def _nothing_found(raw_dir: Path, suffixes: Sequence[str]) -> DataError:
    message = f"{raw_dir} has no {_either(suffixes)} file to prepare"
    if unread := _unread_texts(raw_dir, suffixes):
        shown = names_text(unread, _SHOWN)
        return DataError(f"{message}, only {shown}.", _unread_hint(raw_dir, suffixes))
    if ".csv" in suffixes:
        return DataError(f"{message}.", f"{_ADD}, plenary protocols or CSV tables.")
    return DataError(f"{message}.", f"{_ADD} or plenary protocols.")


def _unread_hint(raw_dir: Path, suffixes: Sequence[str]) -> str:
    if ".csv" not in suffixes and input_paths(raw_dir, (".csv",)):
        return (
            "CSV files are only used for finetuning (kind = 'lora'); save the text as .txt for "
            "kind = 'gpt'."
        )
    return "Save each text as a UTF-8 .txt file, or many as rows of a .jsonl, in that folder."


def _either(suffixes: Sequence[str]) -> str:
    # Compressed files are understood to be among them.
    *others, last = (suffix for suffix in suffixes if suffix.count(".") == 1)
    return f"{', '.join(others)} or {last}"


def _fetch_all(
    config: PrepareConfig, report: Callable[[str], None], suffixes: Sequence[str]
) -> list[str]:
    notes = []
    for name in config.fetch:
        download = config.downloads[name]
        if not has_suffix(download.file, suffixes):
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
    return f"{raw_dir} had no text; copied the bundled {source.name} to it."


def fetch(
    name: str, download: Download, folder: Path, *, report: Callable[[str], None]
) -> str | None:
    """Download a file to `folder` if it is missing, verify its SHA-256, and return a note.

    Raises:
        DataError: The download failed, or the file has another hash.
        OSError: While writing.
    """
    path = folder / download.file
    if path.exists():
        if sha256_file(path) == download.sha256:
            return None
        return f"{path} differs from the pinned download '{name}'; kept the existing file."
    report(f"Downloading {download.url}")
    folder.mkdir(parents=True, exist_ok=True)
    _retrieve(name, download, path)
    return f"Downloaded {path} from {download.url} and verified its pinned SHA-256."


def _retrieve(name: str, download: Download, path: Path) -> None:
    # Slow to import and rarely needed.
    import pooch

    pooch.get_logger().setLevel(logging.CRITICAL)
    manual = f"Save the file as {path} manually, or remove '{name}' from prepare.fetch."
    # A streamed download would leave its connection open on an error; texts fit into memory.
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
            f"{download.url} returned a file without the pinned SHA-256 {download.sha256}; "
            "the file was discarded.",
            f"Check prepare.downloads.{name}. {manual}",
        ) from None
    except OSError as error:
        # Network errors have no errno; file errors do.
        if error.errno is not None:
            raise
        raise DataError(f"{download.url} could not be downloaded.", manual) from error
