"""Preparers: the standard one, or the one in an experiment's own `prepare.py`.

A `prepare.py` registers one function:

    @register("my_text")
    def main(context: PrepareContext) -> PrepareReport | None: ...

The name is that of the experiment it was written for. A copy of the folder under another name uses
its own copy of the function all the same.
"""

import contextlib
import hashlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data import prepare as standard
from transformer_playground.data.dataset import check_artifacts
from transformer_playground.data.prepare import PrepareReport
from transformer_playground.errors import DataError, PlaygroundError
from transformer_playground.experiments.discovery import CONFIG_FILE, Experiment
from transformer_playground.files import display_path, replace_json, sha256_file

PREPARER_FILE = "prepare.py"
STAMP_FILE = "preparer.json"


@dataclass(frozen=True)
class PrepareContext:
    """What a preparer is given.

    Args:
        experiment: Its name and folder.
        config: The whole configuration; paths are absolute.
        report: Takes one line of text for the user.
        force: Whether to rebuild what is up to date.
    """

    experiment: Experiment
    config: ExperimentConfig
    report: Callable[[str], None]
    force: bool


Preparer = Callable[[PrepareContext], PrepareReport | None]

_registrations: ContextVar[list[tuple[str, Preparer]] | None] = ContextVar(
    "registrations", default=None
)


def register(name: str) -> Callable[[Preparer], Preparer]:
    """Make a function of a `prepare.py` the preparer of the experiment `name`.

    The function writes the dataset and returns its report, or only readies `raw_dir` and returns
    `None`: the standard preparer then does the rest. It is left as it is, so that a test may import
    and call it.

    Raises:
        DataError: Written without a name.
    """
    if not isinstance(name, str):
        raise DataError("@register needs the experiment's name.", 'Write @register("my_text").')

    def keep(preparer: Preparer) -> Preparer:
        registrations = _registrations.get()
        if registrations is not None:
            registrations.append((name, preparer))
        return preparer

    return keep


def prepare_experiment(
    experiment: Experiment,
    config: ExperimentConfig,
    *,
    report: Callable[[str], None],
    force: bool = False,
) -> PrepareReport:
    """Prepare the dataset with the experiment's own preparer if it has one, else the standard one.

    Raises:
        DataError: The corpus is unusable, or the experiment's `prepare.py` fails.
    """
    path = _preparer_path(experiment)
    if path is None:
        return standard.prepare_dataset(
            config.prepare, _pretrained(config), report=report, force=force
        )
    prepared = _run_preparer(path, PrepareContext(experiment, config, report, force))
    if prepared is None:
        prepared = standard.prepare_dataset(
            config.prepare, _pretrained(config), report=report, force=force
        )
    state = standard.dataset_state(config.prepare, _pretrained(config))
    if state == "missing":
        raise DataError(
            f"The preparer in {display_path(path)} left no dataset in "
            f"{display_path(config.prepare.dataset_dir)}.",
            "Return None to let the standard preparer make it from raw_dir.",
        )
    _write_stamp(config.prepare, path, is_standard=state == "prepared")
    return prepared


def dataset_state(
    experiment: Experiment, config: ExperimentConfig
) -> Literal["prepared", "stale", "missing"]:
    """Tell whether the dataset is there and still what prepare would make.

    With a `prepare.py`, an edit of that file makes the dataset stale too. If it writes a dataset of
    its own making, changed inputs are for it to notice: prepare always calls it.
    """
    state = standard.dataset_state(config.prepare, _pretrained(config))
    path = _preparer_path(experiment)
    if path is None or state == "missing":
        return state
    match _compare_stamp(config.prepare, path):
        case "changed":
            return "stale"
        case "standard":
            return state
        case "own":
            return "prepared" if _is_whole(config.prepare.dataset_dir) else "stale"


def _pretrained(config: ExperimentConfig) -> HfModelConfig | None:
    return config.hf_model if config.experiment.kind == "lora" else None


def _is_whole(dataset_dir: Path) -> bool:
    try:
        check_artifacts(dataset_dir)
    except DataError:
        return False
    return True


def _preparer_path(experiment: Experiment) -> Path | None:
    # A configuration given as a loose file must not run whatever prepare.py lies beside it.
    if not os.path.lexists(experiment.folder / CONFIG_FILE):
        return None
    path = experiment.folder / PREPARER_FILE
    return path if path.is_file() else None


def _run_preparer(path: Path, context: PrepareContext) -> PrepareReport | None:
    preparer = _load_preparer(path, context.experiment.folder.name)
    with _faults_as_data_errors(path):
        prepared = preparer(context)
    if prepared is None or isinstance(prepared, PrepareReport):
        return prepared
    raise DataError(
        f"The preparer in {display_path(path)} returned {type(prepared).__name__}.",
        "Return a PrepareReport, or None to let the standard preparer go on.",
    )


def _load_preparer(path: Path, folder_name: str) -> Preparer:
    registrations: list[tuple[str, Preparer]] = []
    token = _registrations.set(registrations)
    try:
        _execute(path)
    finally:
        _registrations.reset(token)
    if not registrations:
        raise DataError(
            f"{display_path(path)} registers no preparer.",
            f'Put @register("{folder_name}") above its main function.',
        )
    fitting = [preparer for name, preparer in registrations if name == folder_name]
    candidates = fitting or [preparer for _, preparer in registrations]
    if len(candidates) == 1:
        return candidates[0]
    names = ", ".join(name for name, _ in registrations)
    raise DataError(
        f"{display_path(path)} registers {len(registrations)} preparers: {names}.",
        f'Keep one of them, or name exactly one "{folder_name}".',
    )


def _execute(path: Path) -> None:
    """Run the file as a module of its own, so that copies of a folder never share one.

    Always from its source: cached bytecode would miss an edit within the same second.
    """
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    module = ModuleType(f"transformer_playground_prepare_{digest}")
    module.__file__ = str(path)
    # Dataclasses and pickle look their own module up there.
    sys.modules[module.__name__] = module
    try:
        with _faults_as_data_errors(path):
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise


@contextlib.contextmanager
def _faults_as_data_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except PlaygroundError:
        raise
    except (Exception, SystemExit) as error:
        place = ", ".join([display_path(path), *_line_in(path, error)])
        raise DataError(
            f"{place}: {type(error).__name__}: {error}".rstrip(": "),
            "This file belongs to the experiment: mend it there.",
        ) from error


def _line_in(path: Path, error: BaseException) -> list[str]:
    """Where in the file itself the error comes from, if it does."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return [f"line {error.lineno}"]
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return [f"line {lines[-1]}"] if lines else []


def _write_stamp(config: PrepareConfig, preparer: Path, *, is_standard: bool) -> None:
    """Record that `preparer` made the dataset.

    Args:
        config: Its settings, dataset folder included.
        preparer: The `prepare.py`.
        is_standard: Whether the result is a dataset whose freshness the standard preparer can tell.

    Raises:
        DataError: The dataset folder is missing or cannot be written.
    """
    note = {**_fingerprints(config, preparer), "standard": is_standard}
    try:
        replace_json(config.dataset_dir / STAMP_FILE, note)
    except OSError as error:
        raise DataError(
            f"{config.dataset_dir} cannot be written: {error.strerror}.",
            "The preparer must leave its dataset in that folder.",
        ) from error


def _compare_stamp(config: PrepareConfig, preparer: Path) -> Literal["standard", "own", "changed"]:
    """Tell what made the dataset, or that the preparer or its settings changed since."""
    try:
        note = json.loads((config.dataset_dir / STAMP_FILE).read_bytes())
    except (OSError, ValueError):
        return "changed"
    if not isinstance(note, dict):
        return "changed"
    is_standard = note.pop("standard", None)
    if note != _fingerprints(config, preparer):
        return "changed"
    return "standard" if is_standard else "own"


def _fingerprints(config: PrepareConfig, preparer: Path) -> dict[str, str]:
    # Where the folders are does not matter: a moved experiment keeps its dataset.
    settings = config.model_dump_json(exclude={"raw_dir", "dataset_dir"})
    return {
        "preparer_sha256": sha256_file(preparer),
        "settings_sha256": hashlib.sha256(settings.encode()).hexdigest(),
    }
