"""Verdicts: rules that turn the numbers of a report into sentences.

"Real" is validation text cut to the size of the samples.

| verdict | rule |
|---|---|
| diverged | a weight of the model is not finite |
| untrained | validation loss ≥ 98 % of ln(vocabulary), the loss of a uniform guess |
| overfitting | newest validation loss ≥ 0.05 nats above the best, training loss fell |
| unstable | newest validation loss ≥ 0.05 nats above the best, training loss did not fall |
| wide_gap | validation loss ≥ 25 % and ≥ 0.1 nats above training loss, without a rise |
| no_overfitting | two evaluations or more, and none of the four above |
| memorised | ≥ 10 % of samples verbatim in the training text and ≥ 10 points more than real, or |
|           | longest match ≥ 50 % of a sample on average and ≥ 20 points more than real |
| memorisation_unclear | > 50 % of real texts are verbatim in the training text or covered by it |
| copying | ≥ 2 % of samples verbatim and ≥ 2 points more than real, or ≥ 5 points more covered |
| no_memorisation | none of the three above |
| repetitive | ≥ 20 % of 4-grams repeat within a sample, ≥ 10 points more than real |
| duplicates | < 90 % of samples are distinct, ≥ 5 points fewer than real |
| empty | < 90 % of samples contain more than white space |
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
_NEARLY_ALL = 0.9995


def judge(
    evaluation: Evaluation, sampling: Sampling | None, texts: Texts | None, *, diverged: bool
) -> tuple[Verdict, ...]:
    """Verdicts on a report, losses first.

    Args:
        diverged: Whether a weight of the model is not finite.
    """
    if diverged:
        sentence = (
            "diverged: the model's weights are not finite; "
            "choose an earlier checkpoint and train with a lower learning rate"
        )
        return (Verdict("diverged", "bad", sentence),)
    return (
        *_loss_verdicts(evaluation),
        *(_memorisation_verdicts(texts) if texts else ()),
        *(_diversity_verdicts(texts, sampling) if texts and sampling else ()),
    )


def _loss_verdicts(evaluation: Evaluation) -> Iterator[Verdict]:
    untrained = _untrained(evaluation)
    if untrained:
        yield untrained
    past, windows = evaluation.history, evaluation.windows
    problem = (past and _rise(past)) or (windows and _wide_gap(windows))
    if problem:
        yield problem
    elif past and past.evaluations > 1 and not untrained:
        yield Verdict("no_overfitting", "good", _no_overfitting(past, windows))


def _untrained(evaluation: Evaluation) -> Verdict | None:
    uniform = evaluation.uniform_loss
    windows, full = evaluation.windows, evaluation.full_validation
    loss = windows.val_loss if windows else full.loss if full else None
    if loss is None or uniform <= 0 or loss < UNTRAINED_SHARE * uniform:
        return None
    baseline = f"a uniform guess, ln({round(math.exp(uniform)):,}) = {loss_text(uniform)}"
    if loss <= (2 - UNTRAINED_SHARE) * uniform:
        meaning = f"is within {percent_text(1 - UNTRAINED_SHARE)} of {baseline}"
    else:
        meaning = f"is worse than {baseline}"
    return Verdict("untrained", "bad", f"untrained: validation loss {loss_text(loss)} {meaning}")


def _rise(history: History) -> Verdict | None:
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
        f"training loss {loss_text(windows.train_loss)}: the model predicts its training text "
        "better than similar text"
    )
    return Verdict("wide_gap", "bad", sentence)


def _no_overfitting(history: History, windows: WindowLosses | None) -> str:
    if history.newest_step == history.best_step:
        trend = f"validation loss is lowest at the newest evaluation, step {history.best_step:,}"
    else:
        trend = (
            f"validation loss rose by only {loss_text(history.newest_val_rise)} "
            f"since step {history.best_step:,}"
        )
    gap = f"; it is {loss_text(windows.generalisation_gap)} above training loss" if windows else ""
    return f"no sign of overfitting: {trend}{gap}"


def _memorisation_verdicts(texts: Texts) -> Iterator[Verdict]:
    model, real = _match_shares(texts.model), _match_shares(texts.validation)
    if model is None or texts.reference is None:
        return
    whole, covered = model
    real_whole, real_covered = real or (0.0, 0.0)
    searched = texts.reference.train_share
    where = (
        "the training text"
        if searched >= _NEARLY_ALL
        else f"{percent_text(searched)} of the training text"
    )
    shares = (
        f"{percent_text(whole)} of samples occur verbatim in {where} "
        f"(real text: {percent_text(real_whole)}), and the longest match covers "
        f"{percent_text(covered)} of a sample on average (real text: {percent_text(real_covered)})"
    )
    if (whole >= MEMORISED_WHOLE and whole - real_whole >= MEMORISED_WHOLE_EXTRA) or (
        covered >= MEMORISED_COVERED and covered - real_covered >= MEMORISED_COVERED_EXTRA
    ):
        yield Verdict("memorised", "bad", f"memorised: {shares}")
    elif max(real_whole, real_covered) > UNCLEAR_REAL:
        reason = "real text of this length occurs there as often; try longer samples"
        yield Verdict(
            "memorisation_unclear", "unclear", f"memorisation unclear: {shares}: {reason}"
        )
    elif (whole >= COPYING_WHOLE and whole - real_whole >= COPYING_WHOLE) or (
        covered - real_covered >= COPYING_COVERED_EXTRA
    ):
        yield Verdict("copying", "bad", f"some copying: {shares}")
    else:
        yield Verdict("no_memorisation", "good", f"no sign of memorisation: {shares}")


def _match_shares(measures: TextMeasures | None) -> tuple[float, float] | None:
    if measures is None or measures.exact_match is None or measures.longest_match is None:
        return None
    whole = measures.exact_match.train
    return None if whole is None else (whole, measures.longest_match.mean_share)


def _diversity_verdicts(texts: Texts, sampling: Sampling) -> Iterator[Verdict]:
    model = texts.model.statistics
    real = texts.validation.statistics if texts.validation else None
    filled, repeated, distinct = model.non_empty_ratio, model.seq_rep_4, model.unique_ratio
    if filled is not None and filled < NON_EMPTY:
        sentence = f"empty: only {percent_text(filled)} of samples contain more than white space"
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
        why = "; temperature 0 is greedy decoding" if sampling.temperature == 0 else ""
        sentence = f"duplicates: only {percent_text(distinct)} of the samples are distinct{why}"
        yield Verdict("duplicates", "bad", sentence)
