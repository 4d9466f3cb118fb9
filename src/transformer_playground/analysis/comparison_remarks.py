"""What the numbers of a comparison do not say themselves, one sentence each."""

from collections.abc import Iterator, Sequence

from transformer_playground.analysis.run_facts import RunFacts, same_tokenizer

_COMMIT_DIGITS = 10
_MOST_NAMED = 8


def remarks_on(groups: Sequence[Sequence[RunFacts]], *, grouped: bool) -> tuple[str, ...]:
    """Everything a reader of these runs' numbers should be told.

    Args:
        groups: The runs, in the groups they are shown in.
        grouped: Whether seeds were to be grouped.
    """
    runs = [run for group in groups for run in group]
    return (
        *_on_data(runs),
        *_on_environment(runs),
        *(_on_grouping(groups) if grouped else ()),
        *(sentence for run in runs for sentence in _on_run(run)),
    )


def _on_data(runs: Sequence[RunFacts]) -> Iterator[str]:
    prints = {run.fingerprint for run in runs}
    if len(prints) > 1:
        unknown = " (or are not known)" if None in prints else ""
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
            "perplexities and differences per token are left out."
        )


def _on_environment(runs: Sequence[RunFacts]) -> Iterator[str]:
    names = list(dict.fromkeys(name for run in runs for name in run.environment))
    differing = []
    for name in names:
        values = list(dict.fromkeys(run.environment.get(name, "unknown") for run in runs))
        if len(values) > 1:
            shown = [value[:_COMMIT_DIGITS] for value in values] if name == "code" else values
            differing.append(f"{name} {' / '.join(shown[:_MOST_NAMED])}")
    if differing:
        yield (
            f"Trained in different environments ({'; '.join(differing)}): "
            "wall time and tokens/s may differ for that reason alone."
        )


def _on_grouping(groups: Sequence[Sequence[RunFacts]]) -> Iterator[str]:
    if any(len(group) > 1 for group in groups):
        yield (
            "Groups are finished runs of one configuration with different seeds: mean ± standard "
            "error; the ± of a difference is its standard error (Welch)."
        )
    seen: set[tuple[str, int]] = set()
    for run in (run for group in groups for run in group):
        if run.state != "finished" or run.seed is None:
            continue
        if (run.configuration, run.seed) in seen:
            yield f"{run.run_id} repeats a seed of its configuration, so no mean includes it."
        seen.add((run.configuration, run.seed))


def _on_run(run: RunFacts) -> Iterator[str]:
    if run.state != "finished":
        reason = f": {run.problem}" if run.problem else ""
        yield f"{run.run_id} is {run.state}{reason}; its numbers are those so far."
    if run.summary.eval_step is None:
        yield f"{run.run_id} has no evaluation yet."
    elif run.summary.best_val_loss is None:
        yield f"{run.run_id} has no evaluation with a finite validation loss."
    elif run.summary.final_val_loss is None:
        yield f"{run.run_id}: the loss of its last evaluation is not finite."
    if run.missing:
        lacking = ", ".join(run.missing)
        yield f"{run.run_id}: its metrics lack {lacking}, as those of older versions do."


def _named(runs: Sequence[RunFacts]) -> str:
    ids = [run.run_id for run in runs]
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return ", ".join(ids[:_MOST_NAMED]) + more
