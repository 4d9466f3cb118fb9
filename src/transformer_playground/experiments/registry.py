"""Preparer registry: the standard preparer, or the one in an experiment's own `prepare.py`.

A `prepare.py` registers one function under the name of its experiment:

    @register("my_text")
    def main(context: PrepareContext) -> PrepareReport | None: ...

A copy of the folder under another name uses its own copy of the function.
"""

import contextlib
import hashlib
import inspect
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeVar

from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data import prepare as standard
from transformer_playground.data.dataset import check_artifacts
from transformer_playground.data.prepare import DatasetState, PrepareReport
from transformer_playground.data.progress import ShowProgress, ignore_progress
from transformer_playground.errors import (
    DataError,
    PlaygroundError,
    describe_error,
    translate_os_errors,
)
from transformer_playground.experiments.discovery import CONFIG_FILE, Experiment
from transformer_playground.files import display_path, replace_json, sha256_file

PREPARER_FILE = "prepare.py"
STAMP_FILE = "preparer.json"


@dataclass(frozen=True)
class PrepareContext:
    """Arguments of a preparer.

    Attributes:
        experiment: Name and folder of the experiment.
        config: The configuration, with absolute paths.
        report: Called with each line of text for the user.
        force: Whether to rebuild an up-to-date dataset.
        progress: Called with the progress of a long stage, such as by `prepare_dataset`.
    """

    experiment: Experiment
    config: ExperimentConfig
    report: Callable[[str], None]
    force: bool
    progress: ShowProgress = ignore_progress


Preparer = Callable[[PrepareContext], PrepareReport | None]
_Function = TypeVar("_Function", bound=Callable[..., PrepareReport | None])

_registrations: ContextVar[list[tuple[str, Preparer]] | None] = ContextVar(
    "registrations", default=None
)


def register(name: str) -> Callable[[_Function], _Function]:
    """Decorator: register a function of a `prepare.py` as preparer of the experiment `name`.

    The function takes a `PrepareContext`, or no argument. It writes the dataset and returns its
    report, or only fills `raw_dir` and returns `None`, after which the standard preparer runs.
    The function itself is returned unchanged.

    Raises:
        DataError: `name` is missing.
    """
    if not isinstance(name, str):
        raise DataError("@register needs the experiment's name.", 'Write @register("my_text").')

    def keep(function: _Function) -> _Function:
        registrations = _registrations.get()
        if registrations is not None:
            takes_context = bool(inspect.signature(function).parameters)
            registrations.append((name, function if takes_context else lambda _: function()))
        return function

    return keep


def prepare_experiment(
    experiment: Experiment,
    config: ExperimentConfig,
    *,
    report: Callable[[str], None],
    progress: ShowProgress = ignore_progress,
    force: bool = False,
) -> PrepareReport:
    """Prepare the dataset with the experiment's own preparer, or else with the standard one.

    Raises:
        DataError: The corpus is unusable, or the experiment's `prepare.py` fails.
    """
    path, base = preparer_path(experiment), _pretrained(config)
    build = partial(
        standard.prepare_dataset,
        config.prepare,
        base,
        report=report,
        progress=progress,
        force=force,
    )
    if path is None:
        return build()
    folder = config.prepare.dataset_dir
    is_read_only = not force and folder.is_dir() and not os.access(folder, os.W_OK)
    if is_read_only and dataset_state(experiment, config) == "prepared":
        return standard.describe_dataset(config.prepare, report=report)
    report(f"running {display_path(path)}")
    prepared = _run_preparer(path, PrepareContext(experiment, config, report, force, progress))
    if prepared is None:
        prepared = build()
    state = standard.dataset_state(config.prepare, base)
    if state == "missing":
        raise DataError(
            f"The preparer in {display_path(path)} wrote no dataset in {display_path(folder)}.",
            "Return None to let the standard preparer build it from raw_dir.",
        )
    _write_stamp(config.prepare, path, is_standard=state == "prepared")
    return prepared


def dataset_state(experiment: Experiment, config: ExperimentConfig) -> DatasetState:
    """Whether the dataset exists and is up to date.

    An edit of an experiment's `prepare.py` makes its dataset stale, too. Changed inputs of a
    `prepare.py` that writes the dataset itself are not detected here: prepare always calls it.
    """
    state = standard.dataset_state(config.prepare, _pretrained(config))
    path = preparer_path(experiment)
    if path is None or state == "missing":
        return state
    match _compare_stamp(config.prepare, path):
        case "changed":
            return "stale"
        case "standard":
            return state
        case "own":
            return "prepared" if _is_intact(config.prepare.dataset_dir) else "stale"


def preparer_path(experiment: Experiment) -> Path | None:
    """The experiment's own `prepare.py`, None if it has none."""
    # A loose configuration file must not run an unrelated prepare.py in its folder.
    if not os.path.lexists(experiment.folder / CONFIG_FILE):
        return None
    path = experiment.folder / PREPARER_FILE
    return path if path.is_file() else None


def _pretrained(config: ExperimentConfig) -> HfModelConfig | None:
    return config.hf_model if config.experiment.kind == "lora" else None


def _is_intact(dataset_dir: Path) -> bool:
    try:
        check_artifacts(dataset_dir)
    except DataError:
        return False
    return True


def _run_preparer(path: Path, context: PrepareContext) -> PrepareReport | None:
    preparer = _load_preparer(path, context.experiment.folder.name)
    with _translate_errors(path):
        prepared = preparer(context)
    if prepared is None or isinstance(prepared, PrepareReport):
        return prepared
    raise DataError(
        f"The preparer in {display_path(path)} returned {type(prepared).__name__}.",
        "Return a PrepareReport, or None to run the standard preparer.",
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
        f'Keep one of them, or register exactly one as "{folder_name}".',
    )


def _execute(path: Path) -> None:
    """Run the file as a module of its own; never from bytecode, which may be out of date."""
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    module = ModuleType(f"transformer_playground_prepare_{digest}")
    module.__file__ = str(path)
    # Dataclasses and pickle look up the module there.
    sys.modules[module.__name__] = module
    try:
        with _translate_errors(path):
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise


@contextlib.contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except PlaygroundError:
        raise
    except BaseException as error:
        # Only the main thread is interrupted by Ctrl-C; elsewhere the file raised it.
        is_main = threading.current_thread() is threading.main_thread()
        if isinstance(error, KeyboardInterrupt) and is_main:
            raise
        place = ", ".join([display_path(path), *_line_in(path, error)])
        raise DataError(
            f"{place}: {describe_error(error)}",
            "Fix this file of the experiment.",
        ) from error


def _line_in(path: Path, error: BaseException) -> list[str]:
    """The line of the file that raised the error, if any."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return [f"line {error.lineno}"]
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return [f"line {lines[-1]}"] if lines else []


def _write_stamp(config: PrepareConfig, preparer: Path, *, is_standard: bool) -> None:
    """Record which `prepare.py` and settings produced the dataset.

    With `is_standard` the standard preparer can tell whether the dataset is up to date.
    """
    note = {**_fingerprints(config, preparer), "standard": is_standard}
    hint = "The preparer must write its dataset to that folder."
    with translate_os_errors(DataError, f"{config.dataset_dir} cannot be written", hint):
        replace_json(config.dataset_dir / STAMP_FILE, note)


def _compare_stamp(config: PrepareConfig, preparer: Path) -> Literal["standard", "own", "changed"]:
    """Which preparer produced the dataset, or "changed" if that or its settings changed since."""
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
    # Without folders, so that a moved experiment keeps its dataset.
    excluded = {"raw_dir", "dataset_dir", "processes"} | config.unchanged_later_settings()
    settings = config.model_dump_json(exclude=excluded)
    return {
        "preparer_sha256": sha256_file(preparer),
        "settings_sha256": hashlib.sha256(settings.encode()).hexdigest(),
    }
