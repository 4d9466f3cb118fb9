"""A comparison as plain values: for JSON, and for tables with one row per run."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from transformer_playground.analysis.compare import MISSING, Comparison, setting_of
from transformer_playground.analysis.comparison_sampling import SampleResult
from transformer_playground.analysis.grouping import Delta, delta, estimate
from transformer_playground.analysis.measures import QUANTITIES
from transformer_playground.analysis.run_facts import RunFacts, same_tokenizer
from transformer_playground.runs.sampling_plan import SampleSpec

SCHEMA_VERSION = 1


def as_document(
    comparison: Comparison, spec: SampleSpec | None = None, results: Sequence[SampleResult] = ()
) -> dict[str, Any]:
    """Everything of a comparison as JSON values; without a spec, `sampling` is None."""
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": comparison.columns[0].label,
        "settings": list(comparison.settings),
        "runs": [_run(comparison, run) for run in comparison.runs],
        "columns": [
            {
                "label": column.label,
                "run_ids": [run.run_id for run in column.runs],
                "measures": {
                    key: dataclasses.asdict(value) for key, value in column.estimates.items()
                },
                "deltas": {key: dataclasses.asdict(value) for key, value in column.deltas.items()},
            }
            for column in comparison.columns
        ],
        "remarks": list(comparison.remarks),
        "sampling": None if spec is None else _sampling(spec, results),
    }


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat record for each run, all with the same keys; what is unknown is None.

    Settings are named `config.<key>`. Differences are from the first run: `<quantity>_delta` and,
    in percent, `<quantity>_delta_percent`. `group` numbers the columns of the comparison from 1.
    """
    first = comparison.runs[0]
    return [
        _record(comparison, number, run, first)
        for number, column in enumerate(comparison.columns, start=1)
        for run in column.runs
    ]


def _sampling(spec: SampleSpec, results: Sequence[SampleResult]) -> dict[str, Any]:
    decoding = spec.settings.sample
    return {
        "settings_from": spec.settings_from,
        "checkpoint": spec.checkpoint,
        "seed": spec.settings.runtime.seed,
        "temperature": decoding.temperature,
        "top_k": decoding.top_k,
        "top_p": decoding.top_p,
        "max_new_tokens": decoding.max_new_tokens,
        "runs": [dataclasses.asdict(result) for result in results],
    }


def _run(comparison: Comparison, run: RunFacts) -> dict[str, Any]:
    shown = {key: setting_of(run, key) for key in comparison.settings}
    return {
        "run_id": run.run_id,
        "experiment": run.experiment,
        "state": run.state,
        "problem": run.problem,
        "seed": run.seed,
        "dataset": run.fingerprint,
        "environment": dict(run.environment),
        "settings": {key: value for key, value in shown.items() if value is not MISSING},
        "measures": dict(run.measures),
    }


def _record(comparison: Comparison, number: int, run: RunFacts, first: RunFacts) -> dict[str, Any]:
    record: dict[str, Any] = {
        "run_id": run.run_id,
        "group": number,
        "experiment": run.experiment,
        "state": run.state,
        "seed": run.seed,
        "dataset": run.fingerprint,
    }
    for key in comparison.settings:
        value = setting_of(run, key)
        record[f"config.{key}"] = None if value is MISSING else value
    record |= run.measures
    for each in QUANTITIES:
        if each.has_delta:
            found = _difference(each.key, first, run, per_token=each.per_token)
            record[f"{each.key}_delta"] = found.difference if found else None
            record[f"{each.key}_delta_percent"] = found.percent if found else None
    return record


def _difference(key: str, first: RunFacts, run: RunFacts, *, per_token: bool) -> Delta | None:
    if run is first or (per_token and not same_tokenizer(first, run)):
        return None
    before, after = (estimate([each.measures[key]]) for each in (first, run))
    return delta(before, after)
