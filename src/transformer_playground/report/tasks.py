"""What `tp eval` measures beyond the mean loss: tokens, n-gram baselines and minimal pairs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from transformer_playground.checkpoints.discovery import skipped_notice
from transformer_playground.data.dataset import Dataset
from transformer_playground.errors import DataError, UsageError
from transformer_playground.evaluation.baseline import USUAL_ORDER, compare_with, ngram_baseline
from transformer_playground.evaluation.pairs import (
    LANGUAGES,
    Pair,
    PairScore,
    bundled_pairs,
    score_pairs,
    swapped_pairs,
)
from transformer_playground.evaluation.token_losses import TokenLosses, token_losses
from transformer_playground.experiments.dataset_lookup import saved_config
from transformer_playground.files import read_regular
from transformer_playground.jsonvalues import as_object, as_text
from transformer_playground.report.request import OWN_TEXT, ReportSetup
from transformer_playground.runs.generation import LoadedRun, load_resolved, token_text
from transformer_playground.runs.series import RunSeries

Task = Literal["ngram", "tokens", "pairs"]
TASKS: tuple[Task, ...] = get_args(Task)

# Enough clauses for some hundred pairs.
_PAIR_TOKENS = 400_000
_MOST_WRONG = 10


@dataclass(frozen=True)
class EvalRequest:
    """Which tasks, and their options.

    Attributes:
        order: Longest n-grams.
        pairs: Sources of minimal pairs: text, a language, or a file of JSON lines.
        n_pairs: Most pairs to make from the text.
    """

    tasks: tuple[Task, ...] = TASKS
    order: int = USUAL_ORDER
    pairs: tuple[str, ...] = (OWN_TEXT,)
    n_pairs: int = 200


def tasks_named(names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks of these names, in a fixed order; all without names.

    Raises:
        UsageError: There is no such task.
    """
    for name in names:
        if name not in TASKS:
            raise UsageError(f"There is no task '{name}'.", f"Use {', '.join(TASKS)}.")
    return tuple(task for task in TASKS if not names or task in names)


def run_tasks(
    setup: ReportSetup,
    request: EvalRequest,
    *,
    harness: Callable[[LoadedRun], list[dict[str, Any]]] | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Measure the tasks, as described by docs/schemas/eval.json.

    Args:
        setup: The run, its checkpoint and its dataset.
        request: The tasks.
        harness: Runs tasks of lm-eval, if any.
        progress: Called with sentences for the user.

    Raises:
        PlaygroundError: The checkpoint, the dataset or a file of pairs cannot be used.
    """
    files = {name: read_pairs(Path(name)) for name in request.pairs if _is_file(name)}
    needs_loss = bool({"ngram", "tokens"} & {*request.tasks})
    needs_text = needs_loss or ("pairs" in request.tasks and OWN_TEXT in request.pairs)
    dataset = _dataset(setup) if needs_text else None
    loaded = load_resolved(setup.sampling)
    for skipped in loaded.skipped:
        progress(skipped_notice(skipped))
    document: dict[str, Any] = {
        "schema_version": 1,
        "run_id": loaded.run_id,
        "checkpoint": loaded.checkpoint.name,
        "step": loaded.step,
        "loss": None,
        "ngram": None,
        "tokens": None,
        "pairs": None,
        "lm_eval": None,
    }
    if dataset is not None and needs_loss:
        progress("evaluating the whole validation split")
        config = saved_config(setup.record)
        if (found := token_losses(loaded.model, dataset, config)) is not None:
            document["loss"] = found.mean
            if "tokens" in request.tasks:
                document["tokens"] = _token_rows(found, loaded)
    if dataset is not None and "ngram" in request.tasks:
        progress(f"counting n-grams of up to {request.order} tokens")
        document["ngram"] = _ngram(setup, dataset, request.order, document["loss"])
    if "pairs" in request.tasks:
        progress("scoring minimal pairs")
        sets = {
            name: files.get(name) or _pairs(name, dataset, loaded, request)
            for name in request.pairs
        }
        document["pairs"] = [_pair_set(name, pairs, loaded) for name, pairs in sets.items()]
    if harness is not None:
        document["lm_eval"] = harness(loaded)
    return document


def _dataset(setup: ReportSetup) -> Dataset:
    if setup.lookup.dataset is None:
        raise DataError(
            f"There is no text to evaluate on: {setup.lookup.problem}", setup.lookup.hint
        )
    return setup.lookup.dataset


def _token_rows(found: TokenLosses, loaded: LoadedRun) -> list[dict[str, Any]]:
    """Tokens that occur, those that cost most in all first."""
    counts, sums = found.counts, found.sums
    all_targets, all_nats = max(1, int(counts.sum())), float(sums.sum()) or 1.0
    order = np.argsort(-sums, kind="stable")
    known = loaded.tokenizer.vocab_size
    return [
        {
            "token": int(token),
            "text": token_text(loaded.tokenizer, int(token)) if token < known else "",
            "count": int(counts[token]),
            "share": int(counts[token]) / all_targets,
            "loss": float(sums[token] / counts[token]),
            "loss_share": float(sums[token]) / all_nats,
        }
        for token in order
        if counts[token]
    ]


def _ngram(setup: ReportSetup, dataset: Dataset, order: int, loss: float | None) -> dict[str, Any]:
    baseline = ngram_baseline(dataset, order)
    series = RunSeries(setup.run.metrics_path)
    series.poll()
    steps, measured = series.column("eval", "step"), series.column("eval", "val_loss")
    found = [compare_with(baseline, length, steps, measured) for length in range(1, order + 1)]
    return {
        "train_tokens": baseline.train_tokens,
        "orders": [
            {
                "order": each.order,
                "loss": each.loss,
                "is_beaten": None if loss is None else loss < each.loss,
                "beaten_at": each.beaten_at,
            }
            for each in found
            if each is not None
        ],
    }


def _is_file(source: str) -> bool:
    return source != OWN_TEXT and source not in LANGUAGES


def _pairs(
    source: str, dataset: Dataset | None, loaded: LoadedRun, request: EvalRequest
) -> list[Pair]:
    for language in LANGUAGES:
        if source == language:
            return bundled_pairs(language)
    tokens = [] if dataset is None else np.asarray(dataset.val[:_PAIR_TOKENS]).tolist()
    return swapped_pairs(loaded.tokenizer.decode(tokens), request.n_pairs)


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of a file of JSON lines with "good" and "bad", and "kind" if there are several.

    Raises:
        UsageError: The file cannot be read, or a line is not a pair.
    """
    hint = f'Use {OWN_TEXT}, {", ".join(LANGUAGES)}, or a file of lines {{"good": …, "bad": …}}.'
    try:
        lines = read_regular(path).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The pairs {path} cannot be read: {error}.", hint) from error
    pairs: list[Pair] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row: Mapping[str, Any] = as_object(json.loads(line))
        except ValueError:
            row = {}
        good, bad = as_text(row.get("good")), as_text(row.get("bad"))
        if not good or not bad:
            raise UsageError(f"Line {number} of {path} is not a pair.", hint)
        pairs.append(Pair(as_text(row.get("kind")) or "all", good, bad))
    if not pairs:
        raise UsageError(f"There are no pairs in {path}.", hint)
    return pairs


def _pair_set(source: str, pairs: Sequence[Pair], loaded: LoadedRun) -> dict[str, Any]:
    scores, skipped = score_pairs(loaded.model, loaded.tokenizer, pairs)
    kinds = dict.fromkeys(score.pair.kind for score in scores)
    wrong = sorted(
        (score for score in scores if score.credit < 1), key=lambda score: score.good - score.bad
    )
    return {
        "source": source,
        "pairs": len(scores),
        "skipped": skipped,
        "accuracy": _accuracy(scores),
        "kinds": [
            {
                "kind": kind,
                "pairs": sum(score.pair.kind == kind for score in scores),
                "accuracy": _accuracy([score for score in scores if score.pair.kind == kind]),
            }
            for kind in kinds
        ],
        "wrong": [
            {
                "good": score.pair.good,
                "bad": score.pair.bad,
                "difference": score.good - score.bad,
            }
            for score in wrong[:_MOST_WRONG]
        ],
    }


def _accuracy(scores: Sequence[PairScore]) -> float | None:
    return sum(score.credit for score in scores) / len(scores) if scores else None
