"""Samples as a file of JSON lines."""

import itertools
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from transformer_playground.errors import SamplingError
from transformer_playground.files import replace_text


def export(rows: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write samples as docs/schemas/sample.json describes them, one a line, all or nothing.

    Args:
        rows: Samples, as `runs.sampling.sample_row` makes them.
        folder: Where to write the new file.

    Returns:
        The file.

    Raises:
        SamplingError: OSError while writing.
    """
    lines = "".join(json.dumps({"event": "sample", **row}, allow_nan=False) + "\n" for row in rows)
    try:
        path = _free_name(folder)
        replace_text(path, lines)
    except OSError as error:
        raise SamplingError(
            f"The samples could not be written to {folder}: {error.strerror}.",
            "Start the console in a folder that can be written to.",
        ) from error
    return path


def _free_name(folder: Path) -> Path:
    stem = f"samples-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    paths = (folder / f"{name}.jsonl" for name in names)
    return next(path for path in paths if not path.exists())
