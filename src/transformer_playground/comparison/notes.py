"""Notes: sentences about what limits a comparison."""

from collections.abc import Iterator, Sequence

from transformer_playground.comparison.compared_run import ComparedRun, same_tokenizer
from transformer_playground.data.order import EvaluationSet
from transformer_playground.formatting import names_text

_COMMIT_DIGITS = 10
_MAX_NAMES = 8


def notes_on(groups: Sequence[Sequence[ComparedRun]], *, grouped: bool) -> tuple[str, ...]:
    """Sentences about what limits a comparison of these runs.

    Args:
        groups: The runs of each column.
        grouped: Whether seeds were averaged.
    """
    runs = [run for group in groups for run in group]
    return (
        *_dataset_notes(runs),
        *_evaluation_notes(runs),
        *_environment_notes(runs),
        *(_group_notes(groups) if grouped else ()),
        *_branch_notes(runs),
        *(sentence for run in runs for sentence in _run_notes(run)),
    )


def _dataset_notes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    fingerprints = {run.fingerprint for run in runs}
    if len(fingerprints) > 1:
        unknown = " (or are unknown)" if None in fingerprints else ""
        yield (
            f"The datasets differ{unknown}: losses and bits per byte are measured on different "
            "validation texts."
        )
    first, *rest = runs
    others = [run for run in rest if not same_tokenizer(first, run)]
    if others:
        is_known = all(run.tokenizer is not None for run in (first, *others))
        what = "another tokenizer than" if is_known else "perhaps another tokenizer than"
        yield (
            f"With {what} {first.run_id}: {_named(others)}. Bits per byte still compare; "
            "perplexities and per-token deltas are left out."
        )


def _evaluation_notes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    by_windows: dict[str, list[ComparedRun]] = {}
    for run in runs:
        if run.summary.eval_step is not None:
            by_windows.setdefault(windows_text(run), []).append(run)
    if len(by_windows) > 1 and len({run.fingerprint for run in runs}) == 1:
        groups = "; ".join(f"{_named(group)} on {text}" for text, group in by_windows.items())
        yield f"Losses are measured on different parts of the validation text: {groups}."
    for run in runs:
        if run.summary.has_other_windows:
            yield (
                f"{run.run_id}: its first evaluations were measured on other windows; only those "
                f"on {windows_text(run)} count for its best loss."
            )


def windows_text(run: ComparedRun) -> str:
    """The part of the validation text that a run's losses are measured on."""
    windows, tokens = run.summary.eval_windows, run.summary.window_tokens
    if windows is not None and tokens is not None:
        return str(EvaluationSet(windows, tokens))
    batch_size = run.settings.get("train.data.batch_size")
    return f"random windows of an older version (seed {run.seed}, batch size {batch_size})"


def _environment_notes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    names = list(dict.fromkeys(name for run in runs for name in run.environment))
    differing = []
    for name in names:
        values = list(dict.fromkeys(run.environment.get(name, "unknown") for run in runs))
        if len(values) > 1:
            shown = [value[:_COMMIT_DIGITS] for value in values] if name == "code" else values
            differing.append(f"{name} {' / '.join(shown[:_MAX_NAMES])}")
    if differing:
        yield (
            f"Trained in different environments ({'; '.join(differing)}): "
            "wall time and tokens/s may differ for that reason alone."
        )


def _group_notes(groups: Sequence[Sequence[ComparedRun]]) -> Iterator[str]:
    if any(len(group) > 1 for group in groups):
        yield (
            "Groups are finished runs of one configuration with different seeds: mean ± standard "
            "error; the ± of a delta is its standard error (Welch)."
        )
    seen: set[tuple[str, int]] = set()
    for run in (run for group in groups for run in group):
        if run.state != "finished" or run.seed is None:
            continue
        if (run.configuration, run.seed) in seen:
            yield f"{run.run_id} repeats a seed of its configuration, so no mean includes it."
        seen.add((run.configuration, run.seed))


def _branch_notes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    compared = {run.run_id for run in runs}
    for run in runs:
        parent = run.parent
        if parent is not None and parent.run_id in compared:
            since = "" if parent.step is None else f" from step {parent.step}"
            yield (
                f"{run.run_id} continues {parent.run_id}{since}: they share the training before, "
                "so they are not independent runs."
            )


def _run_notes(run: ComparedRun) -> Iterator[str]:
    if run.state != "finished":
        reason = f": {run.problem}" if run.problem else ""
        yield f"{run.run_id} is {run.state}{reason}; its numbers are not final."
    if run.summary.eval_step is None:
        yield f"{run.run_id} has no evaluation yet."
    elif run.summary.best_val_loss is None:
        yield f"{run.run_id} has no evaluation with a finite validation loss."
    elif run.summary.final_val_loss is None:
        yield f"{run.run_id}: the loss of its last evaluation is not finite."
    if run.missing:
        yield (
            f"{run.run_id}: its metrics lack {', '.join(run.missing)}; "
            "an older version may have written them."
        )


def _named(runs: Sequence[ComparedRun]) -> str:
    return names_text([run.run_id for run in runs], _MAX_NAMES)
