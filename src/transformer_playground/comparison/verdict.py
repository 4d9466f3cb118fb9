"""The verdict of a comparison: which column is best, and whether that can be chance."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from transformer_playground.comparison.columns import Column
from transformer_playground.comparison.compared_run import ComparedRun, same_tokenizer
from transformer_playground.comparison.notes import windows_text
from transformer_playground.comparison.significance import (
    LEVEL,
    SeedSpread,
    Test,
    against_spread,
    paired,
    seed_spread,
    welch,
)
from transformer_playground.formatting import (
    count_text,
    loss_text,
    names_text,
    p_value_text,
    percent_text,
)

Conclusion = Literal["better", "not_distinguishable", "untested", "none"]

_LOSS = "best_val_loss"
# Mean distance of two normal values: 2 / sqrt(pi) standard deviations.
_MEAN_DISTANCE = 2 / math.sqrt(math.pi)
_MAX_NAMES = 2


@dataclass(frozen=True)
class Verdict:
    """What a comparison says about the lowest validation loss.

    Attributes:
        conclusion: "better" if the best column differs from `against` by more than chance,
            "not_distinguishable" if not, "untested" without seeds or windows to judge by, "none"
            if no two columns are measured on the same text.
        best: Column of the lowest loss.
        against: The baseline; the second best if the baseline is best.
        test: Test of `best` against `against`, its p-value not yet corrected.
        comparisons: Number of columns that the best was chosen from, less one. All p-values are
            multiplied by it (Bonferroni), because the best of many is low by chance too.
        equal: Further columns that the best is not distinguishable from.
        spread: Deviation between seeds, pooled over all groups.
        left_out: Columns measured on another text than the baseline.
    """

    conclusion: Conclusion
    best: Column | None = None
    against: Column | None = None
    test: Test | None = None
    comparisons: int = 1
    equal: tuple[Column, ...] = ()
    spread: SeedSpread | None = None
    left_out: tuple[Column, ...] = ()

    @property
    def p_value(self) -> float | None:
        """Corrected for the number of comparisons."""
        return None if self.test is None else corrected(self.test.p_value, self.comparisons)

    def is_clear(self, p_value: float) -> bool:
        """Whether a difference of two of the columns is more than chance, by its own p-value."""
        return corrected(p_value, self.comparisons) < LEVEL


def corrected(p_value: float, comparisons: int) -> float:
    """A p-value as one of several comparisons (Bonferroni)."""
    return min(1.0, p_value * comparisons)


def judge(columns: Sequence[Column]) -> Verdict:
    """Verdict on columns, the first of which is the baseline; seeds are averaged in them."""
    first = columns[0]
    measured = [column for column in columns if column.estimates[_LOSS].mean is not None]
    alike = [column for column in measured if comparable(first, column)]
    left_out = tuple(column for column in measured if not comparable(first, column))
    if len(alike) < 2:
        return Verdict("none", left_out=left_out)
    ranked = sorted(alike, key=_loss)
    best = ranked[0]
    against = ranked[1] if best is first or first.estimates[_LOSS].mean is None else first
    spread = seed_spread(column.estimates[_LOSS] for column in alike)
    comparisons = len(alike) - 1
    found = test_of(against, best, spread)
    verdict = Verdict("untested", best, against, found, comparisons, (), spread, left_out)
    if found is None:
        conclusion: Conclusion = "untested"
    else:
        conclusion = "better" if verdict.is_clear(found.p_value) else "not_distinguishable"
    others = (column for column in ranked[1:] if column is not against)
    equal = tuple(column for column in others if _is_equal(column, verdict))
    return replace(verdict, conclusion=conclusion, equal=equal)


def tested(columns: Sequence[Column], folded: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, each with its test against the first.

    Args:
        columns: Runs, or groups of seeds.
        folded: The same runs with their seeds in groups, for the spread of seeds.
    """
    first, *others = columns
    alike = [column for column in folded if comparable(first, column)]
    spread = seed_spread(column.estimates[_LOSS] for column in alike)
    return (
        first,
        *(
            replace(column, test=test_of(first, column, spread))
            if comparable(first, column)
            else column
            for column in others
        ),
    )


def comparable(first: Column, other: Column) -> bool:
    """Whether the losses of two columns are measured on the same part of the same text."""
    one, two = first.runs[0], other.runs[0]
    return (
        one.fingerprint is not None
        and one.fingerprint == two.fingerprint
        and same_tokenizer(one, two)
        and _windows(first) == _windows(other)
    )


def test_of(first: Column, other: Column, spread: SeedSpread | None) -> Test | None:
    """The strongest test that two columns allow: seeds, then windows, then seeds of others."""
    if first is other:
        return None
    pair = first.estimates[_LOSS], other.estimates[_LOSS]
    by_seeds = welch(*pair)
    if by_seeds is not None:
        return by_seeds
    if len(first.runs) == len(other.runs) == 1:
        one, two = first.runs[0].windows, other.runs[0].windows
        if one is not None and two is not None and one.fits(two):
            return paired(one.sums, two.sums, one.targets)
    return None if spread is None else against_spread(*pair, spread)


def verdict_text(verdict: Verdict, name_of: Callable[[Column], str], hint: str = "") -> str:
    """The verdict in words; `hint` says how an untested difference can be tested."""
    best, against = verdict.best, verdict.against
    if best is None or against is None:
        return "No verdict: no two runs have a validation loss on the same text."
    names = name_of(best), name_of(against)
    losses = _loss(best), _loss(against)
    apart = losses[1] - losses[0]
    share = f" ({percent_text(apart / abs(losses[1]))})" if losses[1] else ""
    values = f"val loss {loss_text(losses[0])}, {loss_text(apart)}{share} below {names[1]}"
    if verdict.conclusion == "better":
        parts = [f"{names[0]} is best: {values}", _evidence(verdict)]
    elif verdict.conclusion == "not_distinguishable":
        both = f"{names[0]} and {names[1]} are not distinguishable"
        parts = [f"{both}: val loss {loss_text(losses[0])} and {loss_text(losses[1])}"]
        parts.append(_evidence(verdict))
    else:
        reason = "one seed each, so chance is not ruled out"
        parts = [f"{names[0]} is lowest: {values}", reason + (f" ({hint})" if hint else "")]
    return " ".join([f"{'; '.join(parts)}.", *_further(verdict, name_of)])


def _evidence(verdict: Verdict) -> str:
    test = verdict.test
    assert test is not None
    p_value = p_value_text(verdict.p_value or 0.0)
    chance = f"p {p_value}" if p_value.startswith("<") else f"p = {p_value}"
    if verdict.comparisons > 1:
        chance += f", corrected for {verdict.comparisons} comparisons"
    if verdict.conclusion == "not_distinguishable":
        chance += f", not below {LEVEL}"
    match test.method:
        case "welch":
            seeds = f"{test.counts[1]} and {test.counts[0]} seeds"
            return f"Welch's t-test over {seeds}, {chance}"
        case "seed_spread":
            return f"by the spread of seeds in this comparison, {chance}"
        case _:
            windows = f"{count_text(test.counts[0])} windows of the validation split"
            return f"paired over all {windows} {loss_text(abs(test.difference))} apart, {chance}"


def _further(verdict: Verdict, name_of: Callable[[Column], str]) -> list[str]:
    sentences = []
    if verdict.equal:
        names = names_text([name_of(column) for column in verdict.equal], _MAX_NAMES)
        sentences.append(f"Not distinguishable from the best: {names}.")
    if verdict.test is not None and verdict.test.method == "paired_windows":
        if verdict.spread is None:
            sentences.append("That holds for these two models; more seeds tell about the setting.")
        else:
            distance = loss_text(verdict.spread.deviation * _MEAN_DISTANCE)
            sentences.append(f"Two seeds of one configuration are about {distance} apart here.")
    steps = {column.estimates["final_step"].mean for column in _judged(verdict)}
    if len(steps) > 1:
        sentences.append("They trained for different numbers of steps.")
    if verdict.left_out:
        names = names_text([name_of(column) for column in verdict.left_out], _MAX_NAMES)
        sentences.append(f"Left out, measured on another text: {names}.")
    return sentences


def _judged(verdict: Verdict) -> list[Column]:
    return [column for column in (verdict.best, verdict.against) if column is not None]


def _is_equal(column: Column, verdict: Verdict) -> bool:
    test = None if verdict.best is None else test_of(column, verdict.best, verdict.spread)
    return test is not None and not verdict.is_clear(test.p_value)


def _loss(column: Column) -> float:
    mean = column.estimates[_LOSS].mean
    return math.inf if mean is None else mean


def _windows(column: Column) -> frozenset[str]:
    return frozenset(map(_measured_on, column.runs))


def _measured_on(run: ComparedRun) -> str:
    return windows_text(run) if run.summary.eval_windows is not None else ""
