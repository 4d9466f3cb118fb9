"""Records as text, Markdown and JSON."""

from typing import Any

from transformer_playground.comparison.cells import estimate_text
from transformer_playground.comparison.estimates import Estimate
from transformer_playground.comparison.significance import LEVEL
from transformer_playground.formatting import (
    count_text,
    loss_text,
    optional_text,
    p_value_text,
    signed_text,
)
from transformer_playground.records.published import WHOLE_SPLIT, DatasetRecords, Published
from transformer_playground.records.standing import Entry, Standing, loss_of
from transformer_playground.tables import Column

SCHEMA_VERSION = 1

_METHODS = {
    "welch": "Welch's t-test over seeds",
    "seed_spread": "t-test with the spread of other seeds",
    "paired_windows": "paired by window; their seeds may differ more",
}


def whole_split_table(records: DatasetRecords, standing: Standing, limit: int) -> list[Column]:
    """Runs and published results that are measured on the whole split, best first."""
    rows = [
        *(_published_row(each) for each in records.results if each.is_comparable),
        *(_row_of(each, _name(each, standing)) for each in standing.entries[:limit]),
    ]
    rows.sort(key=lambda row: row[0])
    columns = list(zip(*(row[1:] for row in rows), strict=True)) or [()] * 7
    headers = ("result", "loss", "params", "seeds", "window", "minutes", "source")
    return [
        Column(header, cells, right_aligned=0 < place < 6, weight=_weight(header))
        for place, (header, cells) in enumerate(zip(headers, columns, strict=True))
    ]


def other_table(records: DatasetRecords) -> list[Column]:
    """Published results that are measured on something else; [] without any."""
    others = sorted(
        (each for each in records.results if not each.is_comparable), key=lambda each: each.loss
    )
    if not others:
        return []
    return [
        Column("result", [each.name for each in others]),
        Column("loss", [_loss(each) for each in others], right_aligned=True),
        Column("params", [_count(each.parameters) for each in others], right_aligned=True),
        Column("seeds", [_count(each.seeds) for each in others], right_aligned=True),
        Column("measured on", [each.measured_on for each in others]),
        Column("source", [each.source for each in others], weight=1),
    ]


def verdict(standing: Standing) -> str:
    """How sure the best run is; empty without two entries."""
    if len(standing.entries) < 2:
        return ""
    best, second = standing.entries[:2]
    name = f"{_name(best, standing)} is best: {estimate_text('loss', best.loss)}"
    test, p_value = standing.test, standing.p_value
    if test is None or p_value is None:
        return f"{name}. Whether that is chance takes several seeds of it and of the next."
    difference = signed_text(test.difference, loss_text)
    p_text = p_value_text(p_value)
    sign = "" if p_text.startswith("<") else "= "
    how = f"{difference} to {_name(second, standing)}, p {sign}{p_text} ({_METHODS[test.method]})"
    conclusion = "" if p_value < LEVEL else "; not distinguishable"
    return f"{name}, {how}{conclusion}."


def as_document(
    name: str, records: DatasetRecords, standing: Standing, track: str | None
) -> dict[str, Any]:
    """One JSON document."""
    test = standing.test
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": name,
        "unit": records.unit,
        "track": track,
        "published": [
            {
                "name": each.name,
                "source": each.source,
                "loss": each.loss,
                "standard_error": each.standard_error,
                "parameters": each.parameters,
                "seeds": each.seeds,
                "measured_on": each.measured_on,
                "is_comparable": each.is_comparable,
            }
            for each in records.results
        ],
        "runs": [
            {
                "experiment": each.experiment,
                "loss": each.loss.mean,
                "standard_error": each.loss.standard_error,
                "parameters": each.parameters,
                "seeds": len(each.runs),
                "window": each.context,
                "minutes": each.minutes,
                "measured_on": WHOLE_SPLIT,
                "run_ids": [run.run_id for run in each.runs],
                "losses": [loss_of(run) for run in each.runs],
            }
            for each in standing.entries
        ],
        "unmeasured": list(standing.unmeasured),
        "p_value": standing.p_value,
        "method": None if test is None else test.method,
        "problems": list(standing.problems),
    }


def _published_row(each: Published) -> tuple[float, str, str, str, str, str, str, str]:
    count, seeds = _count(each.parameters), _count(each.seeds)
    return each.loss, each.name, _loss(each), count, seeds, "", "", each.source


def _row_of(each: Entry, name: str) -> tuple[float, str, str, str, str, str, str, str]:
    return (
        each.loss.mean or 0.0,
        name,
        estimate_text("loss", each.loss),
        _count(each.parameters),
        str(len(each.runs)),
        _count(each.context),
        f"{each.minutes:.1f}",
        "here",
    )


def _name(entry: Entry, standing: Standing) -> str:
    """Several seeds are called by their experiment, unless there are more of it."""
    if len(entry.runs) == 1:
        return entry.runs[0].run_id
    same = [each for each in standing.entries if each.experiment == entry.experiment]
    if len(same) == 1:
        return entry.experiment
    return f"{entry.runs[0].run_id} and {len(entry.runs) - 1} more"


def _loss(each: Published) -> str:
    # With two or more seeds an error is stated, with as many digits as the source has.
    return estimate_text("loss", Estimate(each.loss, each.standard_error, each.seeds or 1))


def _count(value: int | None) -> str:
    return optional_text(value, count_text, "")


def _weight(header: str) -> int | None:
    return {"source": 1, "window": 2, "minutes": 3}.get(header)
