"""Text output of `tp eval`, 80 cells wide."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformer_playground.formatting import (
    UNKNOWN,
    count_text,
    loss_text,
    optional_text,
    percent_text,
    signed_text,
)
from transformer_playground.tables import Column, table_lines
from transformer_playground.terminal import visible_line

Document = Mapping[str, Any]

_WIDTH = 80
_MOST_TOKENS = 15
_MOST_WRONG = 5
_LONGEST_SOURCE = 40


def task_text(document: Document) -> str:
    """The measured tasks for people."""
    lines = [f"{document['run_id']} · {document['checkpoint']} · step {document['step']:,}"]
    if document["loss"] is not None:
        lines.append(f"loss {loss_text(document['loss'])} nats per token, whole validation split")
    if document["ngram"] is not None:
        lines += ["", *_ngram(document["ngram"], document["loss"])]
    if document["tokens"] is not None:
        lines += ["", *_tokens(document["tokens"])]
    for each in document["pairs"] or ():
        lines += ["", *_pairs(each)]
    if document["lm_eval"] is not None:
        lines += ["", *_harness(document["lm_eval"])]
    return "\n".join(lines)


def _ngram(found: Document, loss: float | None) -> list[str]:
    orders = found["orders"]
    columns = [
        Column("n", [str(each["order"]) for each in orders], right_aligned=True),
        Column("loss", [loss_text(each["loss"]) for each in orders], right_aligned=True),
        Column("the model", [_difference(loss, each["loss"]) for each in orders], True),
        Column("beaten", [_beaten(each) for each in orders]),
    ]
    count = count_text(found["train_tokens"])
    return [
        f"n-gram models of the same training text ({count} tokens, Kneser-Ney)",
        *table_lines(columns, _WIDTH),
    ]


def _difference(loss: float | None, other: float) -> str:
    return UNKNOWN if loss is None else signed_text(loss - other, loss_text)


def _beaten(each: Document) -> str:
    if each["beaten_at"] is not None:
        return f"from step {each['beaten_at']:,}"
    return "yes" if each["is_beaten"] else "not yet"


def _tokens(rows: Sequence[Document]) -> list[str]:
    shown = rows[:_MOST_TOKENS]
    columns = [
        Column("token", [f"“{visible_line(each['text'])}”" for each in shown]),
        Column("count", [count_text(each["count"]) for each in shown], right_aligned=True),
        Column("share", [percent_text(each["share"]) for each in shown], right_aligned=True),
        Column("loss", [loss_text(each["loss"]) for each in shown], right_aligned=True),
        Column("of all loss", [percent_text(each["loss_share"]) for each in shown], True),
    ]
    return [
        f"tokens that cost most, {len(shown)} of {len(rows):,}",
        *table_lines(columns, _WIDTH),
    ]


def _pairs(found: Document) -> list[str]:
    source = visible_line(found["source"])
    source = source if len(source) <= _LONGEST_SOURCE else f"…{source[1 - _LONGEST_SOURCE :]}"
    title = f"minimal pairs ({source}), a tie counts half"
    left_out = f"{found['skipped']:,} left out: unknown characters or longer than the context"
    notes = [left_out] if found["skipped"] else []
    if not found["pairs"]:
        return [title, "none could be scored", *notes]
    kinds = (
        [*found["kinds"], {"kind": "all", **found}] if len(found["kinds"]) > 1 else found["kinds"]
    )
    columns = [
        Column("kind", [each["kind"] for each in kinds]),
        Column("pairs", [f"{each['pairs']:,}" for each in kinds], right_aligned=True),
        Column("right", [optional_text(each["accuracy"], percent_text) for each in kinds], True),
    ]
    wrong = found["wrong"][:_MOST_WRONG]
    examples = [
        Column("found less likely", [each["good"] for each in wrong]),
        Column("than", [each["bad"] for each in wrong]),
        Column("nats", [f"{each['difference']:.2f}" for each in wrong], right_aligned=True),
    ]
    return [
        title,
        *table_lines(columns, _WIDTH),
        *notes,
        *(["", *table_lines(examples, _WIDTH)] if wrong else []),
    ]


def _harness(rows: Sequence[Document]) -> list[str]:
    metrics = [(row, each) for row in rows for each in row["metrics"]]
    if not metrics:
        return ["tasks of lm-eval", "no metrics"]
    columns = [
        Column("task", [visible_line(row["task"]) for row, _ in metrics]),
        Column("documents", [_count(row) for row, _ in metrics], right_aligned=True),
        Column("metric", [visible_line(_metric_name(each)) for _, each in metrics]),
        Column(
            "value", [_number(each["value"]) or UNKNOWN for _, each in metrics], right_aligned=True
        ),
        Column("±", [_number(each["standard_error"]) for _, each in metrics], right_aligned=True),
        Column("better", [_direction(each) for _, each in metrics]),
    ]
    return ["tasks of lm-eval, ± one standard error", *table_lines(columns, _WIDTH)]


def _count(row: Document) -> str:
    return optional_text(row["documents"], "{:,}".format)


def _metric_name(each: Document) -> str:
    name: str = each["metric"]
    return f"{name} ({each['filter']})" if each["filter"] else name


def _number(value: float | None) -> str:
    return optional_text(value, "{:.4f}".format)


def _direction(each: Document) -> str:
    names = {True: "higher", False: "lower"}
    return names.get(each["higher_is_better"], UNKNOWN)
