"""Run annotations: a note and tags, stored in `notes.json` of the run folder."""

import errno
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformer_playground.errors import RunError, UsageError, translate_os_errors
from transformer_playground.files import read_regular, replace_json
from transformer_playground.runs.folder import RunFolder

LONGEST_NOTE = 10_000
MOST_TAGS = 50
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
# Far above the longest note and all tags in JSON escapes.
_MAX_FILE_SIZE = 1 << 20


@dataclass(frozen=True)
class Annotations:
    """Note (untrusted text) and tags, in the order of adding."""

    note: str = ""
    tags: tuple[str, ...] = ()


def check_tag(tag: str) -> str:
    """Return `tag` if it is valid.

    Raises:
        UsageError: Invalid tag.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"'{tag}' is not a valid tag.",
            "Use up to 40 letters, digits, dots, dashes and underscores; "
            "the first must be a letter or digit.",
        )
    return tag


def read_annotations(run: RunFolder) -> Annotations:
    """Annotations of a run; empty if the file is missing or damaged."""
    try:
        return _read(run)
    except (OSError, ValueError, RecursionError):
        return Annotations()


def annotations_problem(run: RunFolder) -> str | None:
    """Why `notes.json` cannot be read; None if it can, or if it is missing."""
    try:
        _read(run)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"notes.json cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        return "notes.json is damaged"
    return None


def retag(tags: Sequence[str], add: Sequence[str], remove: Sequence[str]) -> tuple[str, ...]:
    """Tags after adding and removing some.

    Raises:
        UsageError: Invalid tag, or one that is both added and removed.
    """
    for tag in (*add, *remove):
        check_tag(tag)
    both = sorted(set(add) & set(remove))
    if both:
        raise UsageError(f"The tag '{both[0]}' is both added and removed.", "Choose one.")
    return tuple(tag for tag in dict.fromkeys((*tags, *add)) if tag not in remove)


def write_annotations(run: RunFolder, annotations: Annotations) -> None:
    """Replace the annotations of a run.

    Raises:
        UsageError: Note too long, too many tags, or an invalid tag.
        RunError: The existing file is damaged (it is kept), or OSError while writing.
    """
    if len(annotations.note) > LONGEST_NOTE:
        raise UsageError(
            f"The note has {len(annotations.note):,} characters.",
            f"The limit is {LONGEST_NOTE:,}.",
        )
    tags = tuple(dict.fromkeys(map(check_tag, annotations.tags)))
    if len(tags) > MOST_TAGS:
        raise UsageError(f"A run can have {MOST_TAGS} tags, not {len(tags)}.", "Remove some.")
    hint = "Check the disk and the folder's permissions."
    with translate_os_errors(RunError, f"{run.notes_path} could not be written", hint):
        _check_not_damaged(run)
        replace_json(run.notes_path, {"note": annotations.note, "tags": list(tags)})


def _check_not_damaged(run: RunFolder) -> None:
    try:
        _read(run)
    except FileNotFoundError:
        return
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{run.notes_path} is damaged, so nothing was changed.", "Fix or delete it."
        ) from error


def _read(run: RunFolder) -> Annotations:
    try:
        content = read_regular(run.notes_path, _MAX_FILE_SIZE)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EFBIG, errno.ELOOP):
            raise ValueError("not a regular file of plausible size") from error
        raise
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    note, tags = document.get("note", ""), document.get("tags", [])
    # Content beyond the limits would be lost by the next change, so it counts as damage.
    if not isinstance(note, str) or len(note) > LONGEST_NOTE or not _are_tags(tags):
        raise ValueError("not a note and tags")
    return Annotations(note, tuple(tags))


def _are_tags(tags: Any) -> bool:
    if not isinstance(tags, list) or len(tags) > MOST_TAGS:
        return False
    return all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in tags)
