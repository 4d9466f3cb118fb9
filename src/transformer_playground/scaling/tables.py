"""A scaling study as text, Markdown and JSON."""

from collections.abc import Sequence
from typing import Any

from transformer_playground.comparison.cells import estimate_text
from transformer_playground.formatting import (
    count_text,
    loss_text,
    optional_text,
    percent_text,
    power_text,
    signed_text,
)
from transformer_playground.scaling.family import LearningRateRule
from transformer_playground.scaling.law import LEVEL, Law, Term
from transformer_playground.scaling.points import Result
from transformer_playground.scaling.study import Study
from transformer_playground.tables import Column

SCHEMA_VERSION = 1

_RULES: dict[LearningRateRule, str] = {
    "width": "learning rate × own width / width (muP)",
    "sqrt-width": "learning rate × √(own width / width)",
    "fixed": "the experiment's learning rate for all",
}


def rule_text(rule: LearningRateRule) -> str:
    """How the learning rate follows the width."""
    return _RULES[rule]


def member_table(study: Study) -> list[Column]:
    """A row for each size and budget: what was measured, and what the law says."""
    rows, law = [*study.results, study.held_out], study.law
    shapes = [result.member.shape for result in rows]
    fitted = [None if law is None else _fitted(law, result) for result in rows]
    misses = [
        None if each is None or result.loss.mean is None else result.loss.mean - each
        for each, result in zip(fitted, rows, strict=True)
    ]
    names = [count_text(shape.parameters) for shape in shapes]
    names[-1] += " held out"
    right = True
    return [
        Column("parameters", names),
        Column("width×layers", [f"{each.n_embd}×{each.n_layer}" for each in shapes], right),
        Column("tokens", [count_text(result.member.tokens) for result in rows], right),
        Column("rate", [power_text(result.member.learning_rate) for result in rows], right, 2),
        Column("val loss", [estimate_text("loss", result.loss) for result in rows], right),
        Column("law", [optional_text(each, loss_text, "") for each in fitted], right),
        Column("miss", [optional_text(each, _signed, "") for each in misses], right),
        Column("runs", [f"{len(each.runs)}/{each.planned}" for each in rows], right, 1),
    ]


def sentences(study: Study) -> list[str]:
    """The law, its prediction and how that turned out."""
    law, prediction = study.law, study.prediction
    if law is None:
        return []
    found = [law_text(law)]
    if law.error is not None:
        found.append(
            f"spread of a run around it: {percent_text(law.error)} "
            f"({law.degrees} degrees of freedom)"
        )
    if (exponent := study.compute_exponent) is not None:
        found.append(f"best size for compute C (6 N D): grows with C^{exponent:.2f}")
    if prediction is None:
        return found
    member = study.held_out.member
    text = f"{count_text(member.shape.parameters)} parameters after "
    text += f"{count_text(member.tokens)} tokens: predicted {loss_text(prediction.loss)}"
    if prediction.band is not None:
        text += f", {percent_text(LEVEL)} band {_band(prediction.band)}"
    if study.miss is None:
        found.append(f"{text}; not trained yet")
        return found
    verdict = {None: "", True: ", in the band", False: ", outside of the band"}[study.is_inside]
    measured = estimate_text("loss", study.held_out.loss)
    found.append(f"{text}; measured {measured}, miss {_signed(study.miss)}{verdict}")
    return found


def law_text(law: Law) -> str:
    """Such as "L = 1.34 + 57.6 / N^0.34 + 227 / D^0.4"."""
    parts = [f"{law.irreducible:.3g}"]
    parts += [_term_text(term, name) for term, name in ((law.size, "N"), (law.tokens, "D")) if term]
    bands = [
        f"{symbol} {_number_band(term.exponent_band)}"
        for term, symbol in ((law.size, "α"), (law.tokens, "β"))
        if term and term.exponent_band
    ]
    return f"L = {' + '.join(parts)}" + (f"; {', '.join(bands)}" if bands else "")


def as_document(study: Study, *, figure: str | None) -> dict[str, Any]:
    """One JSON document."""
    law, prediction, family = study.law, study.prediction, study.family
    return {
        "schema_version": SCHEMA_VERSION,
        "experiment": family.sweep.experiment,
        "sweep": family.sweep.sweep_id,
        "lr_rule": family.rule,
        "measured_on": "whole validation split",
        "members": [_entry(result, law) for result in study.results],
        "law": None
        if law is None
        else {
            "irreducible": law.irreducible,
            "size": _term(law.size),
            "tokens": _term(law.tokens),
            "points": len(law.points),
            "spread": law.error,
            "degrees": law.degrees,
            "compute_exponent": study.compute_exponent,
        },
        "prediction": None
        if prediction is None
        else {
            "loss": prediction.loss,
            "level": LEVEL,
            "band": None if prediction.band is None else list(prediction.band),
            "miss": study.miss,
            "is_inside": study.is_inside,
        },
        "held_out": _entry(study.held_out, law),
        "notes": study.notes,
        "figure": figure,
    }


def markdown_heading(study: Study) -> list[str]:
    """The sentences as a list in Markdown."""
    return [f"- {text}" for text in (*sentences(study), *study.notes)]


def _entry(result: Result, law: Law | None) -> dict[str, Any]:
    member, shape = result.member, result.member.shape
    return {
        "parameters": shape.parameters,
        "n_layer": shape.n_layer,
        "n_embd": shape.n_embd,
        "n_head": shape.n_head,
        "tokens": member.tokens,
        "steps": member.steps,
        "learning_rate": member.learning_rate,
        "loss": result.loss.mean,
        "standard_error": result.loss.standard_error,
        "fitted": None if law is None else _fitted(law, result),
        "planned": result.planned,
        "runs": list(result.runs),
    }


def _term(term: Term | None) -> dict[str, Any] | None:
    if term is None:
        return None
    band = None if term.exponent_band is None else list(term.exponent_band)
    return {
        "coefficient": term.coefficient,
        "exponent": term.exponent,
        "exponent_band": band,
    }


def _fitted(law: Law, result: Result) -> float | None:
    """What the law says; None for a budget, or a size, that it is not for."""
    place = result.member.shape.parameters, result.member.tokens
    return law.expected(*place) if law.is_for(*place) else None


def _term_text(term: Term, variable: str) -> str:
    return f"{term.coefficient:.3g} / {variable}^{term.exponent:.3g}"


def _band(band: Sequence[float]) -> str:
    return f"{loss_text(band[0])} to {loss_text(band[1])}"


def _number_band(band: Sequence[float]) -> str:
    return f"{band[0]:.2f} to {band[1]:.2f}"


def _signed(value: float) -> str:
    return signed_text(value, loss_text)
