"""Tasks of lm-eval, from its own collection or from files, and their metrics of a run."""

import contextlib
import importlib
import importlib.util
import io
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.errors import (
    DataError,
    PlaygroundError,
    UsageError,
    describe_error,
    is_library_fault,
)

if TYPE_CHECKING:
    from transformer_playground.config.prepare import PrepareConfig
    from transformer_playground.runs.generation import LoadedRun

PREFIX = "lm-eval:"
"""What the name of a task of lm-eval begins with."""

# Chooses the examples of tasks that show some; lm-eval's own default.
_EXAMPLES_SEED = 1234
# Enough for standard errors of metrics that have no formula for them.
_RESAMPLES = 1000


class HarnessTasks:
    """Tasks that lm-eval knows.

    Args:
        names: Names of tasks, groups or tags.
        include: Folder of further task files (YAML), which come before those of lm-eval.

    Raises:
        UsageError: lm-eval is not installed or has no such task, or there is no such folder.
    """

    def __init__(self, names: Sequence[str], include: Path | None = None) -> None:
        if importlib.util.find_spec("lm_eval") is None:
            raise UsageError(
                "Tasks of lm-eval need the package lm-eval, which is not installed.",
                "Install it: pip install 'transformer-playground[lm-eval]'.",
            )
        if include is not None and not include.is_dir():
            raise UsageError(f"There is no folder {include}.", "Check --include-path.")
        with _quiet():
            self._manager = _manager(names, include)
        for name in names:
            if name not in self._manager.all_tasks:
                raise UsageError(
                    f"lm-eval has no task '{name}'.",
                    "Name a task of its collection, or the folder of your own with --include-path.",
                )
        self._names = tuple(names)

    def run(
        self,
        loaded: "LoadedRun",
        prepare: "PrepareConfig",
        *,
        progress: Callable[[str], object] = lambda _: None,
    ) -> list[dict[str, Any]]:
        """The metrics of each task, as described by docs/schemas/eval.json.

        Args:
            loaded: The model and tokenizer.
            prepare: The settings of its training data.
            progress: Called with sentences for the user.

        Raises:
            DataError: The data of a task cannot be loaded, or the tokenizer lacks a character.
        """
        from transformer_playground.harness.model import HarnessModel

        names = ", ".join(self._names)
        progress(f"running {names} of lm-eval")
        with _quiet():
            lm_eval = importlib.import_module("lm_eval")
            model = _as_lm(HarnessModel(loaded.model, loaded.tokenizer, prepare))
            try:
                found = self._manager.load(list(self._names))
                for task in found["tasks"].values():
                    if task.get_config("num_fewshot") is None:
                        task.set_config(key="num_fewshot", value=0)
                    task.set_fewshot_seed(seed=_EXAMPLES_SEED)
                results = lm_eval.evaluate(
                    model, task_dict=found, bootstrap_iters=_RESAMPLES, log_samples=False
                )
            except PlaygroundError:
                raise
            except BaseException as error:
                if not is_library_fault(error):
                    raise
                raise DataError(
                    f"lm-eval could not run {names}: {_summary(error)}.",
                    "Tasks that download their data need a network; tasks of local files do not.",
                ) from error
        return task_rows(results)


def _manager(names: Sequence[str], include: Path | None) -> Any:
    manager: Any = importlib.import_module("lm_eval.tasks").TaskManager
    if include is None:
        return manager()
    try:
        own = manager(include_path=str(include), include_defaults=False)
        # Reading the names of all tasks of its collection takes many seconds. Groups may name them.
        if {*names} <= {*own.all_subtasks}:
            return own
        return manager(include_path=str(include))
    except Exception as error:
        raise DataError(
            f"The task files of {include} cannot be read: {_summary(error)}."
        ) from error


def _as_lm(model: Any) -> Any:
    """An object of lm-eval's abstract class, which checks its type."""
    base: Any = importlib.import_module("lm_eval.api.model").LM

    class RunLM(base):  # type: ignore[misc]
        """Passes requests on."""

        loglikelihood = staticmethod(model.loglikelihood)
        loglikelihood_rolling = staticmethod(model.loglikelihood_rolling)
        generate_until = staticmethod(model.generate_until)

    return RunLM()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No bars, messages or processes of lm-eval in the block."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    # Resampling is quick, and processes forked beside threads may hang.
    os.environ.setdefault("DISABLE_MULTIPROC", "1")
    dropped = io.StringIO()
    try:
        with contextlib.redirect_stdout(dropped), contextlib.redirect_stderr(dropped):
            yield
    finally:
        logger.setLevel(level)


def _summary(error: BaseException) -> str:
    return " ".join(describe_error(error).split())[:300].rstrip(".")


def task_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results of lm-eval as JSON values: a row for each task, then for each group."""
    tasks, groups = results["results"], results.get("groups") or {}
    counts, better = results.get("n-samples", {}), results.get("higher_is_better", {})
    named = {name: tasks[name] for name in tasks if name not in groups} | groups
    return [
        {
            "task": name,
            "documents": counts[name]["effective"] if name in counts else None,
            "metrics": _metrics(values, better.get(name) or {}),
        }
        for name, values in named.items()
    ]


def _metrics(values: Mapping[str, Any], better: Mapping[str, Any]) -> list[dict[str, Any]]:
    # Keys are "metric,filter"; others, such as the name of the task, have no comma.
    found: list[dict[str, Any]] = []
    for key, value in values.items():
        metric, comma, filter_name = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = values.get(f"{metric}_stderr,{filter_name}")
        found.append(
            {
                "metric": metric,
                "filter": None if filter_name == "none" else filter_name,
                "value": _finite(value),
                "standard_error": _finite(error) if isinstance(error, int | float) else None,
                "higher_is_better": better.get(metric),
            }
        )
    return found


def _finite(value: float) -> float | None:
    # The perplexity of a text may be beyond all floating-point numbers, which JSON lacks.
    return float(value) if math.isfinite(value) else None
