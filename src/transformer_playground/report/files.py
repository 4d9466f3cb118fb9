"""Reports in a run folder: whole or not at all, and never one over another."""

import errno
import json
import os
from pathlib import Path
from typing import Any

from transformer_playground.errors import RunError
from transformer_playground.files import fsync_folder, temporary_sibling, write_durably
from transformer_playground.report.render import markdown_report
from transformer_playground.report.schema import Report
from transformer_playground.runs.folder import RunFolder

_MOST_NAMES = 1000
# What file systems without hard links answer to link().
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def write_report(run: RunFolder, report: Report, *, markdown: bool) -> list[Path]:
    """Write `reports/report-<checkpoint>-<YYYYMMDD-HHMMSS>.json`, and a `.md` beside it.

    A name that is taken gets a number behind it; no file is ever replaced.

    Returns:
        The files written.

    Raises:
        RunError: The disk refused; no partial file is left.
    """
    moment = "".join(filter(str.isdigit, report.created[:19]))
    stem = f"report-{Path(report.checkpoint.file).stem}-{moment[:8]}-{moment[8:]}"
    try:
        run.reports.mkdir(exist_ok=True)
        written = [_write_new(run.reports, stem, ".json", _encoded(report.as_json()))]
        if markdown:
            text = markdown_report(report).encode("utf-8")
            written.append(_write_new(run.reports, written[0].stem, ".md", text))
        fsync_folder(run.reports)
    except OSError as error:
        raise RunError(
            f"The report could not be written into {run.reports}: {error.strerror}.",
            "Check the disk and the folder's permissions.",
        ) from error
    return written


def _write_new(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    with temporary_sibling(folder / f"{stem}{suffix}") as temporary:
        write_durably(temporary, lambda file: file.write(content))
        temporary.chmod(0o644)
        for number in range(1, _MOST_NAMES):
            target = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
            if _claim(temporary, target):
                return target
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def _claim(temporary: Path, target: Path) -> bool:
    """Give a finished file its name, unless that is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            return False
        temporary.rename(target)
    return True


def _encoded(document: Any) -> bytes:
    text = json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False)
    # JSON leaves DEL as it is, and nothing else that a terminal obeys.
    return text.replace("\x7f", "\\u007f").encode("ascii") + b"\n"
