"""Tasks of lm-eval, from its own collection or from files, and their metrics of a run."""

import contextlib
import importlib
import importlib.util
import io
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    from transformer_playground.serving.prompts import ChatTemplate

PREFIX = "lm-eval:"
"""What the name of a task of lm-eval begins with."""

EXAMPLES_SEED = 1234
"""Seed of the examples of tasks that show some; lm-eval's own default."""
# Kind of request that has no question.
_WHOLE_TEXTS = "loglikelihood_rolling"
# Enough for standard errors of metrics that have no formula for them.
_RESAMPLES = 1000


@dataclass(frozen=True)
class HarnessOptions:
    """How tasks of lm-eval are run.

    Attributes:
        num_fewshot: Examples with their answers before each question; None = as the task says.
        seed: Chooses the examples.
        chat: Template by which questions and examples become a chat; None for plain text.
        limit: Most documents of a task, or below 1 the part of them; None for all.

    Raises:
        UsageError: A number is not possible.
    """

    num_fewshot: int | None = None
    seed: int = EXAMPLES_SEED
    chat: "ChatTemplate | None" = None
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.num_fewshot is not None and self.num_fewshot < 0:
            raise UsageError(
                f"--num-fewshot is a number of examples, not {self.num_fewshot}.", "Use 0 or more."
            )
        limit = self.limit
        if limit is not None and not (0 < limit < 1 or (limit >= 1 and limit == limit // 1)):
            raise UsageError(
                f"--limit is a number of documents or a part of them, not {limit:g}.",
                "Use a whole number such as 100, or a fraction such as 0.1.",
            )


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
        options: HarnessOptions,
        *,
        progress: Callable[[str], object] = lambda _: None,
    ) -> list[dict[str, Any]]:
        """The metrics of each task, as described by docs/schemas/eval.json.

        Args:
            loaded: The model and tokenizer.
            prepare: The settings of its training data.
            options: How the tasks are run.
            progress: Called with sentences for the user.

        Raises:
            UsageError: An option has no effect on any task, or a task has too few examples.
            DataError: The data of a task cannot be loaded, or the tokenizer lacks a character.
        """
        from transformer_playground.harness.model import HarnessModel

        names = ", ".join(self._names)
        progress(f"running {names} of lm-eval")
        notes: list[str] = []
        with _quiet(), _described(names):
            found = self._manager.load(list(self._names))
            set_examples(found["tasks"], options, notes.append)
        for note in notes:
            progress(note)
        harness = HarnessModel(loaded.model, loaded.tokenizer, prepare, options.chat)
        with _quiet(), _described(names):
            results = importlib.import_module("lm_eval").evaluate(
                _as_lm(harness),
                task_dict=found,
                limit=options.limit,
                bootstrap_iters=_RESAMPLES,
                log_samples=False,
                apply_chat_template=options.chat is not None,
                # Each example is a turn of the chat, as with lm-eval's own command.
                fewshot_as_multiturn=options.chat is not None,
            )
        return task_rows(results, options)


def set_examples(
    tasks: Mapping[str, Any], options: HarnessOptions, note: Callable[[str], object]
) -> None:
    """Set how many examples each task shows, and which."""
    reading = {
        name: task for name, task in tasks.items() if task.get_config("output_type") != _WHOLE_TEXTS
    }
    for is_stated, option in (
        (options.num_fewshot, "--num-fewshot"),
        (options.chat is not None, "--apply-chat-template"),
    ):
        if is_stated and not reading:
            raise UsageError(
                f"{option} has no effect on tasks that score whole texts: {', '.join(tasks)}.",
                "Leave it out.",
            )
    for name, task in tasks.items():
        stated = task.get_config("num_fewshot")
        count = stated or 0
        if options.num_fewshot is not None and name in reading:
            count = options.num_fewshot
            if stated == 0 and count:
                # Its author says that examples make no sense.
                note(f"{name} shows no examples: its task file says so")
                count = 0
        task.set_config(key="num_fewshot", value=count)
        task.set_fewshot_seed(seed=options.seed)
        if count and name in reading:
            _require_examples(name, task, count, note)


def _require_examples(name: str, task: Any, count: int, note: Callable[[str], object]) -> None:
    available = len(task.fewshot_docs())
    if available < count:
        raise UsageError(
            f"The task '{name}' has {available:,} documents to take examples from, not {count:,}.",
            "Lower --num-fewshot.",
        )
    has_own = any(task.get_config(key) for key in ("fewshot_split", "fewshot_config"))
    if not (has_own or task.has_training_docs() or task.has_validation_docs()):
        note(
            f"{name} takes its examples from the documents that it evaluates: its task file names "
            "no fewshot_split"
        )


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
        apply_chat_template = staticmethod(model.apply_chat_template)
        # For a cache of requests, which is not used.
        tokenizer_name = ""

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


@contextlib.contextmanager
def _described(names: str) -> Iterator[None]:
    """Errors of lm-eval in the block as a sentence."""
    try:
        yield
    except PlaygroundError:
        raise
    except BaseException as error:
        if not is_library_fault(error):
            raise
        raise DataError(
            f"lm-eval could not run {names}: {_summary(error)}.",
            "Tasks that download their data need a network; tasks of local files do not.",
        ) from error


def _summary(error: BaseException) -> str:
    return " ".join(describe_error(error).split())[:300].rstrip(".")


def task_rows(results: Mapping[str, Any], options: HarnessOptions) -> list[dict[str, Any]]:
    """The results of lm-eval as JSON values: a row for each task, then for each group.

    Args:
        results: What `lm_eval.evaluate` returns.
        options: How the tasks were run.
    """
    tasks, groups = results["results"], results.get("groups") or {}
    counts, better = results.get("n-samples", {}), results.get("higher_is_better", {})
    examples = results.get("n-shot", {})
    named = {name: tasks[name] for name in tasks if name not in groups} | groups
    return [
        {
            "task": name,
            "documents": counts[name]["effective"] if name in counts else None,
            "num_fewshot": examples.get(name) if name in counts else None,
            "seed": options.seed if examples.get(name) and name in counts else None,
            "chat_template": options.chat is not None,
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
