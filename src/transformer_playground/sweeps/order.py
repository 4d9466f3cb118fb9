"""Who trains the runs of a sweep, and which waiting one is trained before the others.

A request is an empty file whose name is the id of the run. The process that begins to train the
run removes it: each request counts once, whichever process that is, and one that is killed before
the run has begun leaves it to the next.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from transformer_playground.errors import UsageError, translate_os_errors
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.status import read_writer
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.trials import TrialState

_WHY_NOT = {
    "finished": "has finished",
    "running": "is in training",
    "failed": "has failed; remove it with tp runs delete to train it once more",
    "pruned": "was left out; continue it with tp train --resume",
}


def requested(folder: SweepFolder) -> list[str]:
    """Ids of the runs to train first, the one that was asked for last at the beginning."""
    try:
        with os.scandir(folder.next_path) as entries:
            found = [(entry.stat().st_mtime_ns, entry.name) for entry in entries]
    except OSError:
        return []
    return [name for _, name in sorted(found, reverse=True)]


def request_next(folder: SweepFolder, state: TrialState) -> None:
    """Let a waiting run be trained before all others.

    Raises:
        UsageError: It does not wait, other runs decide whether it is trained, or the folder cannot
            be written.
    """
    run_id = state.trial.run_id
    if state.state != "open":
        raise UsageError(f"The run {run_id} {_WHY_NOT[state.state]}.", "Choose one that waits.")
    if state.waits:
        raise UsageError(
            f"The results of other runs decide whether {run_id} is trained.",
            "Choose one that is due.",
        )
    with translate_os_errors(UsageError, f"The request cannot be written to {folder.next_path}"):
        folder.next_path.mkdir(exist_ok=True)
        path, now = folder.next_path / run_id, time.time_ns()
        path.touch()
        # The time that the file system would give may be the same for several.
        os.utime(path, ns=(now, now))


def take_request(folder: SweepFolder, run_id: str) -> None:
    """Remove the request for a run that is trained now, if there is one."""
    with translate_os_errors(UsageError, f"The request for {run_id} cannot be removed"):
        (folder.next_path / run_id).unlink(missing_ok=True)


def find_trial(states: Sequence[TrialState], name: str) -> TrialState:
    """A trial by its number, by the id of its run, or by a unique beginning or end of that.

    Raises:
        UsageError: None or several match.
    """
    ids = {each.trial.run_id: each for each in states}
    if name in ids:
        return ids[name]
    if name.isdecimal():
        # Long numbers are the end of an id.
        for each in states:
            if str(each.trial.number) == name:
                return each
    found = [own for own in ids if name and (own.startswith(name) or own.endswith(name))]
    if len(found) == 1:
        return ids[found[0]]
    if found:
        raise UsageError(f"'{name}' matches {len(found)} runs.", "Write more of the id.")
    raise UsageError(
        f"The sweep has no run '{name}'.",
        "Give the number of a trial, from 0, or the id of its run: tp sweep show ID --csv.",
    )


def writers(states: Sequence[TrialState], runs_dir: Path) -> dict[str, list[str]]:
    """The runs that are in training, by the process that trains them: `process 123 on host`."""
    found: dict[str, list[str]] = {}
    for run_id in (each.trial.run_id for each in states if each.state == "running"):
        # It may have ended since its state was read.
        if (writer := read_writer(RunFolder(runs_dir / run_id))) is not None:
            found.setdefault(str(writer), []).append(run_id)
    return found
