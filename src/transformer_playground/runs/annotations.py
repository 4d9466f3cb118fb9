"""What people say about a run: a note and tags, in `notes.json` of its folder."""

import json
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformer_playground.errors import RunError, UsageError
from transformer_playground.files import replace_json
from transformer_playground.runs.folder import RunFolder

LONGEST_NOTE = 10_000
MOST_TAGS = 50
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
# A note of the longest kind in JSON escapes, and as many tags, stay far below.
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Annotations:
    """A note, untrusted text, and tags in the order in which they were given."""

    note: str = ""
    tags: tuple[str, ...] = ()


def check_tag(tag: str) -> str:
    """Return `tag` if it can be one.

    Raises:
        UsageError: It cannot.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"'{tag}' is not a tag.",
            "Use up to 40 letters, digits, dots, dashes and underscores; "
            "the first must be a letter or digit.",
        )
    return tag


def read_annotations(run: RunFolder) -> Annotations:
    """The annotations of a run; an absent or damaged file has none."""
    try:
        return _read(run)
    except (OSError, ValueError, RecursionError):
        return Annotations()


def annotations_problem(run: RunFolder) -> str | None:
    """Why the annotations of a run cannot be read, if so; an absent file is no problem."""
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
    """Tags after adding some at the end and removing others.

    Raises:
        UsageError: One of them cannot be a tag, or is both to be added and to be removed.
    """
    for tag in (*add, *remove):
        check_tag(tag)
    both = sorted(set(add) & set(remove))
    if both:
        raise UsageError(f"The tag '{both[0]}' is both to be added and to be removed.", "Choose.")
    return tuple(tag for tag in dict.fromkeys((*tags, *add)) if tag not in remove)


def write_annotations(run: RunFolder, annotations: Annotations) -> None:
    """Replace the annotations of a run.

    Raises:
        UsageError: The note is too long, or a tag cannot be one.
        RunError: What is there is damaged, and is left for the user to mend; or the disk refused.
    """
    if len(annotations.note) > LONGEST_NOTE:
        raise UsageError(
            f"The note has {len(annotations.note):,} characters.",
            f"Write at most {LONGEST_NOTE:,}, and put the rest into a file.",
        )
    tags = tuple(dict.fromkeys(map(check_tag, annotations.tags)))
    if len(tags) > MOST_TAGS:
        raise UsageError(f"A run can have {MOST_TAGS} tags, not {len(tags)}.", "Remove some.")
    try:
        _refuse_damage(run)
        replace_json(run.notes_path, {"note": annotations.note, "tags": list(tags)})
    except OSError as error:
        raise RunError(
            f"{run.notes_path} could not be written: {error.strerror}.",
            "Check the disk and the folder's permissions.",
        ) from error


def _refuse_damage(run: RunFolder) -> None:
    try:
        _read(run)
    except FileNotFoundError:
        return
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{run.notes_path} is damaged, so nothing was changed.", "Mend it, or delete it."
        ) from error


def _read(run: RunFolder) -> Annotations:
    state = run.notes_path.stat()
    # Whatever else bears this name (a pipe, a link to a device) might never end.
    if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST_FILE:
        raise ValueError("not a file of ours")
    document = json.loads(run.notes_path.read_bytes())
    if not isinstance(document, dict):
        raise ValueError("not an object")
    note, tags = document.get("note", ""), document.get("tags", [])
    # What is beyond the limits would be cut off by the next change, so it counts as damage.
    if not isinstance(note, str) or len(note) > LONGEST_NOTE or not _are_tags(tags):
        raise ValueError("not a note and tags")
    return Annotations(note, tuple(tags))


def _are_tags(tags: Any) -> bool:
    if not isinstance(tags, list) or len(tags) > MOST_TAGS:
        return False
    return all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in tags)
