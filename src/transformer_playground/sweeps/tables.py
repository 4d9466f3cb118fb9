"""A sweep as tables, Markdown, CSV and JSON."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from transformer_playground.comparison.cells import estimate_text
from transformer_playground.formatting import (
    loss_text,
    optional_text,
    p_value_text,
    percent_text,
    signed_text,
)
from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.runs.fields import setting_text
from transformer_playground.runs.naming import setting_headers
from transformer_playground.sweeps.results import (
    Combination,
    Effect,
    Level,
    combine,
    effects,
    verdict,
)
from transformer_playground.sweeps.search import importances
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.trials import State, TrialState, most_combinations
from transformer_playground.tables import Column, csv_text, markdown_table

SCHEMA_VERSION = 1
Part = str | Sequence[Column]
"""A sentence or a table."""

STATES: tuple[State, ...] = ("finished", "running", "open", "pruned", "failed")


def looks(sweep: Sweep) -> int:
    """How often the results are compared while it is trained: see `stop_when_clear`."""
    return max(1, len(sweep.seeds) - 1) if sweep.sequential else 1


def planned_runs(sweep: Sweep, states: Sequence[TrialState]) -> int:
    """Number of runs, with those that a search has not chosen yet."""
    if sweep.method != "tpe":
        return len(states)
    return max(len(states), most_combinations(sweep) * len(sweep.seeds))


def counts(sweep: Sweep, states: Sequence[TrialState]) -> dict[str, int]:
    """How many runs are in each state; those that are not chosen yet are open."""
    found = Counter(state.state for state in states)
    found["open"] += planned_runs(sweep, states) - len(states)
    return {name: found[name] for name in STATES}


def counts_text(counts: Mapping[str, int]) -> str:
    """Such as "18 finished, 6 open"."""
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def size_text(sweep: Sweep, states: Sequence[TrialState]) -> str:
    """Such as "24 runs = 4 norm × 3 learning_rate × 2 seeds"."""
    headers = setting_headers(sweep.keys)
    seeds, runs = len(sweep.seeds), planned_runs(sweep, states)
    if sweep.method == "grid":
        parts = [f"{len(axis.values)} {headers[axis.key]}" for axis in sweep.axes]
    elif sweep.method == "list":
        parts = [f"{len(sweep.listed)} listed combinations of {', '.join(headers.values())}"]
    else:
        how = "random" if sweep.method == "random" else "TPE"
        parts = [f"{runs // seeds} {how} combinations of {', '.join(headers.values())}"]
    parts += [f"{seeds} seeds"] if seeds > 1 else []
    return f"{runs} runs = {' × '.join(parts)}"


def combination_table(combinations: Sequence[Combination]) -> list[Column]:
    """A row for each combination, best first, with the difference to the best."""
    keys = [key for key, _ in combinations[0].values] if combinations else []
    headers = setting_headers(keys)
    best = combinations[0].loss.mean if combinations else None
    columns = [
        Column(headers[key], [setting_text(dict(each.values)[key]) for each in combinations])
        for key in keys
    ]
    done = [sum(state.state == "finished" for state in each.states) for each in combinations]
    texts = [f"{count}/{len(each.states)}" for count, each in zip(done, combinations, strict=True)]
    losses = [estimate_text("loss", each.loss) for each in combinations]
    return [
        *columns,
        Column("val loss", losses, right_aligned=True),
        Column("Δ best", [_difference(each, best) for each in combinations], right_aligned=True),
        Column("runs", texts, right_aligned=True),
        Column("best run", [_best_run(each) for each in combinations], weight=1),
    ]


def importance(sweep: Sweep, combinations: Sequence[Combination]) -> dict[str, float]:
    """Share of each setting in what makes combinations good; {} for too few results."""
    results = [(each.values, each.loss.mean) for each in combinations if each.loss.mean is not None]
    return importances(results, sweep.axes)


def effect_table(effect: Effect) -> list[Column]:
    """A row for each value of a setting, best first."""
    levels = effect.levels
    return [
        Column(setting_headers([effect.key])[effect.key], [level.value for level in levels]),
        Column(
            "mean val loss", [optional_text(level.loss.mean, loss_text) for level in levels], True
        ),
        Column("Δ best", [_level_difference(level) for level in levels], True),
        Column("p (Holm)", [optional_text(level.p_value, p_value_text) for level in levels], True),
    ]


def results_parts(sweep: Sweep, states: Sequence[TrialState]) -> list[Part]:
    """All results for people: size, verdict, importance, combinations, and each effect."""
    combinations = combine(states)
    counted = counts_text(counts(sweep, states))
    parts: list[Part] = [f"{sweep.sweep_id}: {size_text(sweep, states)}; {counted}"]
    if sentence := verdict(combinations, looks(sweep)):
        parts.append(sentence)
    if shares := importance(sweep, combinations):
        headers = setting_headers(list(shares))
        named = [f"{headers[key]} {percent_text(share)}" for key, share in shares.items()]
        parts.append(f"importance: {', '.join(named)}")
    parts.append(combination_table(combinations))
    parts += [effect_table(effect) for effect in effects(sweep.axes, combinations)]
    return parts


def markdown_lines(parts: Iterable[Part]) -> list[str]:
    """Sentences and tables in Markdown."""
    lines: list[str] = []
    for part in parts:
        lines += [""] if lines else []
        if isinstance(part, str):
            lines.append(part)
        else:
            # In Markdown a hidden column would be lost.
            lines += markdown_table([replace(column, weight=None) for column in part])
    return lines


def runs_csv(states: Sequence[TrialState]) -> str:
    """A row for each run at full precision."""
    keys = [key for key, _ in states[0].trial.values] if states else []
    header = ["trial", *keys, "seed", "state", "run", "reused", "best_val_loss", "best_step"]
    rows = []
    for each in states:
        summary = each.row.summary if each.row else None
        values = [dict(each.trial.values)[key] for key in keys]
        loss, step = (summary.best_val_loss, summary.best_step) if summary else (None, None)
        run = each.row.run_id if each.row else ""
        rows.append(
            [
                each.trial.number,
                *values,
                each.trial.seed,
                each.state,
                run,
                each.is_reused,
                loss,
                step,
            ]
        )
    return csv_text(header, rows)


def as_document(sweep: Sweep, states: Sequence[TrialState]) -> dict[str, Any]:
    """The JSON document of `tp sweep show`."""
    combinations = combine(states)
    document = {
        "schema_version": SCHEMA_VERSION,
        "sweep": sweep.sweep_id,
        "experiment": sweep.experiment,
        "method": sweep.method,
        "axes": {axis.key: axis.text() for axis in sweep.axes},
        "counts": counts(sweep, states),
        "verdict": verdict(combinations, looks(sweep)),
        "combinations": [_combination(each) for each in combinations],
        "effects": [_effect(each) for each in effects(sweep.axes, combinations)],
        "importance": importance(sweep, combinations),
    }
    plain: dict[str, Any] = to_jsonable(document)
    return plain


def _combination(each: Combination) -> dict[str, Any]:
    return {
        "values": dict(each.values),
        "val_loss": each.loss.mean,
        "standard_error": each.loss.standard_error,
        "trials": [
            {
                "number": state.trial.number,
                "seed": state.trial.seed,
                "state": state.state,
                "run_id": state.row.run_id if state.row else None,
                "reused": state.is_reused,
                "best_val_loss": state.row.summary.best_val_loss if state.row else None,
            }
            for state in each.states
        ],
    }


def _effect(each: Effect) -> dict[str, Any]:
    return {
        "key": each.key,
        "size": each.size,
        "levels": [
            {
                "value": level.value,
                "val_loss": level.loss.mean,
                "standard_error": level.loss.standard_error,
                "runs": level.loss.n,
                "difference": level.difference.mean if level.difference else None,
                "difference_error": level.difference.standard_error if level.difference else None,
                "p_value": level.p_value,
                "test": level.test,
            }
            for level in each.levels
        ],
    }


def _difference(each: Combination, best: float | None) -> str:
    if each.loss.mean is None or best is None:
        return ""
    return "best" if each.loss.mean == best else signed_text(each.loss.mean - best, loss_text)


def _level_difference(level: Level) -> str:
    found = level.difference
    if found is None:
        return "best"
    error = "" if found.standard_error is None else f" ± {found.standard_error:.2g}"
    return f"{signed_text(found.mean or 0.0, loss_text)}{error}"


def _best_run(each: Combination) -> str:
    best = each.best_run
    return best.row.run_id if best is not None and best.row is not None else ""
