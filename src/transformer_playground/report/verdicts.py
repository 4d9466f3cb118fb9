"""What the numbers of a report mean, in plain sentences.

Each verdict and the rule behind it; "real" is the validation text cut to the size of the samples.

| verdict | rule |
|---|---|
| diverged | the model gives no numbers, or the losses are not finite |
| untrained | validation loss ≥ 98 % of ln(vocabulary), that of guessing uniformly |
| overfitting | newest validation loss ≥ 0.05 nats above the best, training loss fell meanwhile |
| unstable | newest validation loss ≥ 0.05 nats above the best, training loss did not fall |
| wide_gap | validation loss ≥ 25 % and ≥ 0.1 nats above training loss, without a rise |
| no_overfitting | two evaluations or more, and none of the four above |
| memorised | ≥ 10 % of samples whole in the training text and ≥ 10 points more than real, or the |
|           | longest passage covers ≥ 50 % of a sample on average and ≥ 20 points more than real |
| memorisation_unclear | real pieces are in the training text as much: > 50 % whole or covered |
| copying | ≥ 2 % of samples whole and ≥ 2 points more than real, or ≥ 5 points more covered |
| no_memorisation | none of the three above |
| repetitive | ≥ 20 % of 4-grams repeat within a sample, ≥ 10 points more than real |
| duplicates | < 90 % of samples are distinct, ≥ 5 points fewer than real |
| empty | < 90 % of samples hold more than white space |
"""

import math
from collections.abc import Iterator

from transformer_playground.formatting import loss_text, percent_text
from transformer_playground.report.schema import (
    Evaluation,
    History,
    Sampling,
    TextMeasures,
    Texts,
    Verdict,
    WindowLosses,
)

UNTRAINED_SHARE = 0.98
RISE_NATS = 0.05
GAP_SHARE, GAP_NATS = 0.25, 0.1
MEMORISED_WHOLE, MEMORISED_WHOLE_EXTRA = 0.10, 0.10
MEMORISED_COVERED, MEMORISED_COVERED_EXTRA = 0.50, 0.20
UNCLEAR_REAL = 0.50
COPYING_WHOLE, COPYING_COVERED_EXTRA = 0.02, 0.05
REPETITIVE, REPETITIVE_EXTRA = 0.20, 0.10
DISTINCT, DISTINCT_EXTRA = 0.90, 0.05
NON_EMPTY = 0.90
_EVALUATIONS_FOR_A_COURSE = 2
_ALL = 0.9995


def judge(
    evaluation: Evaluation, sampling: Sampling | None, texts: Texts | None, *, diverged: bool
) -> tuple[Verdict, ...]:
    """The verdicts that the numbers allow, losses first.

    Args:
        evaluation: The losses.
        sampling: How the samples were drawn.
        texts: The samples and what was measured on them.
        diverged: Whether the model gave something else than numbers.
    """
    if diverged:
        sentence = (
            "diverged: the model's output is not a number, so its weights are of no use; "
            "choose an earlier checkpoint and train with a lower learning rate"
        )
        return (Verdict("diverged", "bad", sentence),)
    return (
        *_about_losses(evaluation),
        *(_about_copies(texts) if texts else ()),
        *(_about_variety(texts, sampling) if texts and sampling else ()),
    )


def _about_losses(evaluation: Evaluation) -> Iterator[Verdict]:
    untrained = _untrained(evaluation)
    if untrained:
        yield untrained
    course = _course(evaluation.history) if evaluation.history else None
    gap = _wide_gap(evaluation.windows) if evaluation.windows else None
    found = course or gap
    if found:
        yield found
    elif evaluation.history and not untrained and _has_course(evaluation.history):
        yield Verdict("no_overfitting", "good", _no_overfitting(evaluation))


def _untrained(evaluation: Evaluation) -> Verdict | None:
    guessing, windows, full = (
        evaluation.uniform_loss,
        evaluation.windows,
        evaluation.full_validation,
    )
    loss = windows.val_loss if windows else full.loss if full else None
    if loss is None or guessing <= 0 or loss < UNTRAINED_SHARE * guessing:
        return None
    known = f"guessing uniformly, ln({round(math.exp(guessing)):,}) = {loss_text(guessing)}"
    if loss <= (2 - UNTRAINED_SHARE) * guessing:
        meaning = f"is within {percent_text(1 - UNTRAINED_SHARE)} of {known}"
    else:
        meaning = f"is worse than {known}"
    return Verdict("untrained", "bad", f"untrained: validation loss {loss_text(loss)} {meaning}")


def _has_course(history: History) -> bool:
    return history.evaluations >= _EVALUATIONS_FOR_A_COURSE


def _course(history: History) -> Verdict | None:
    rise, change = history.newest_val_rise, history.newest_train_change
    if rise < RISE_NATS:
        return None
    what = f"validation loss rose by {loss_text(rise)} from step {history.best_step:,}"
    until = f"to step {history.newest_step:,}"
    if change is not None and change < 0:
        sentence = f"overfitting: {what} {until} while training loss fell by {loss_text(-change)}"
        return Verdict("overfitting", "bad", sentence)
    also = "" if change is None else f", and training loss rose by {loss_text(change)}"
    return Verdict("unstable", "bad", f"unstable: {what} {until}{also}")


def _wide_gap(windows: WindowLosses) -> Verdict | None:
    gap = windows.generalisation_gap
    if gap < max(GAP_NATS, GAP_SHARE * windows.train_loss):
        return None
    sentence = (
        f"wide gap: validation loss {loss_text(windows.val_loss)} is {loss_text(gap)} above "
        f"training loss {loss_text(windows.train_loss)}: the model knows its training text better "
        "than such text"
    )
    return Verdict("wide_gap", "bad", sentence)


def _no_overfitting(evaluation: Evaluation) -> str:
    history, windows = evaluation.history, evaluation.windows
    assert history is not None
    if history.newest_step == history.best_step:
        course = f"validation loss is lowest at the newest evaluation, step {history.best_step:,}"
    else:
        course = (
            f"validation loss rose by only {loss_text(history.newest_val_rise)} "
            f"since step {history.best_step:,}"
        )
    gap = f"; it is {loss_text(windows.generalisation_gap)} above training loss" if windows else ""
    return f"no sign of overfitting: {course}{gap}"


def _about_copies(texts: Texts) -> Iterator[Verdict]:
    model, real = _copies(texts.model), _copies(texts.validation)
    if model is None or texts.reference is None:
        return
    whole, covered = model
    real_whole, real_covered = real or (0.0, 0.0)
    searched = texts.reference.train_share
    where = (
        "the training text"
        if searched >= _ALL
        else f"{percent_text(searched)} of the training text"
    )
    beside = (
        f"{percent_text(whole)} of samples occur word for word in {where} "
        f"(real text: {percent_text(real_whole)}), and the longest such passage covers "
        f"{percent_text(covered)} of a sample on average (real text: {percent_text(real_covered)})"
    )
    if (whole >= MEMORISED_WHOLE and whole - real_whole >= MEMORISED_WHOLE_EXTRA) or (
        covered >= MEMORISED_COVERED and covered - real_covered >= MEMORISED_COVERED_EXTRA
    ):
        yield Verdict("memorised", "bad", f"memorised: {beside}")
    elif max(real_whole, real_covered) > UNCLEAR_REAL:
        reason = "real text of this size is found there, too; longer samples may tell"
        yield Verdict(
            "memorisation_unclear", "unclear", f"memorisation unclear: {beside}: {reason}"
        )
    elif (whole >= COPYING_WHOLE and whole - real_whole >= COPYING_WHOLE) or (
        covered - real_covered >= COPYING_COVERED_EXTRA
    ):
        yield Verdict("copying", "bad", f"copies a little: {beside}")
    else:
        yield Verdict("no_memorisation", "good", f"no sign of memorisation: {beside}")


def _copies(measures: TextMeasures | None) -> tuple[float, float] | None:
    if measures is None or measures.exact_match is None or measures.longest_match is None:
        return None
    whole = measures.exact_match.train
    return None if whole is None else (whole, measures.longest_match.mean_share)


def _about_variety(texts: Texts, sampling: Sampling) -> Iterator[Verdict]:
    model = texts.model.statistics
    real = texts.validation.statistics if texts.validation else None
    filled, repeated, distinct = model.non_empty_ratio, model.seq_rep_4, model.unique_ratio
    if filled is not None and filled < NON_EMPTY:
        sentence = f"empty: only {percent_text(filled)} of samples hold more than white space"
        yield Verdict("empty", "bad", sentence)
    usual = (real.seq_rep_4 if real else None) or 0.0
    if repeated is not None and repeated >= max(REPETITIVE, usual + REPETITIVE_EXTRA):
        sentence = (
            f"repetitive: {percent_text(repeated)} of the 4-word sequences of a sample repeat an "
            f"earlier one (real text: {percent_text(usual)})"
        )
        yield Verdict("repetitive", "bad", sentence)
    usual = (real.unique_ratio if real else None) or 1.0
    if distinct is not None and distinct < DISTINCT and usual - distinct >= DISTINCT_EXTRA:
        why = (
            "; temperature 0 always takes the likeliest token" if sampling.temperature == 0 else ""
        )
        sentence = (
            f"samples repeat each other: only {percent_text(distinct)} of them are distinct{why}"
        )
        yield Verdict("duplicates", "bad", sentence)
