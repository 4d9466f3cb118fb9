"""Each verdict on both sides of its threshold."""

import math
from dataclasses import replace
from typing import Any

import pytest

from transformer_playground.report.schema import (
    Evaluation,
    History,
    LongestMatch,
    Reference,
    Sampling,
    TextMeasures,
    Texts,
    WindowLosses,
)
from transformer_playground.report.verdicts import judge
from transformer_playground.text_metrics.diversity import TextStatistics
from transformer_playground.text_metrics.overlap import ExactMatches

SAMPLING = Sampling(9, 9, 0.8, 0, 1.0, 1, True, "", 81, 0)
REFERENCE = Reference(1.0, 100, 1.0, 10, "passages", pieces_overlap=False)


def evaluation(
    train: float = 1.5,
    val: float = 1.6,
    *,
    best: float | None = None,
    train_change: float | None = -0.1,
    evaluations: int = 4,
) -> Evaluation:
    best = val if best is None else best
    best_step = 400 if val == best else 300
    return Evaluation(
        uniform_loss=math.log(65),
        windows=WindowLosses("evaluated", 400, train, val, 1, 1, 1, val - train),
        full_validation=None,
        history=History(
            evaluations, best_step, best, 400, val, val - best, train_change, val - best
        ),
    )


def measures(whole: float = 0.0, covered: float = 0.1, **changes: Any) -> TextMeasures:
    statistics = TextStatistics(9, 1.0, 1.0, 0.3, 0.8, 0.0, 1.0, 40, 8, ())
    return TextMeasures(
        statistics=replace(statistics, **changes),
        exact_match=ExactMatches(whole, None, None, 1 - whole),
        longest_match=LongestMatch(5, "abcde", 0, 4.0, covered),
        ngram_novelty={},
    )


def kinds_of_losses(given: Evaluation) -> set[str]:
    return {verdict.kind for verdict in judge(given, None, None, diverged=False)}


def verdicts_on_texts(
    model: TextMeasures, real: TextMeasures | None = None, **changes: Any
) -> dict[str, str]:
    nothing = Evaluation(math.log(65), None, None, None)
    texts = Texts(replace(REFERENCE, **changes), model, real or measures(), ())
    found = judge(nothing, SAMPLING, texts, diverged=False)
    return {verdict.kind: verdict.sentence for verdict in found}


@pytest.mark.parametrize(
    ("share", "kind"),
    [(0.97, "no_overfitting"), (0.981, "untrained"), (1.0, "untrained"), (1.5, "untrained")],
)
def test_a_loss_near_that_of_guessing_is_untrained(share: float, kind: str) -> None:
    loss = share * math.log(65)
    assert kinds_of_losses(evaluation(loss, loss)) == {kind}


def test_the_sentence_names_the_loss_of_guessing() -> None:
    (near,) = judge(evaluation(4.17, 4.17), None, None, diverged=False)
    assert near.sentence == (
        "untrained: validation loss 4.1700 is within 2% of a uniform guess, ln(65) = 4.1744"
    )
    (worse,) = judge(evaluation(9.0, 9.0), None, None, diverged=False)
    assert "is worse than a uniform guess" in worse.sentence


def test_a_rise_while_training_loss_falls_is_overfitting() -> None:
    (verdict,) = judge(
        evaluation(1.5, 1.81, best=1.6, train_change=-0.3), None, None, diverged=False
    )
    assert verdict.kind == "overfitting"
    assert verdict.sentence == (
        "overfitting: validation loss rose by 0.2100 from step 300 to step 400 "
        "while training loss fell by 0.3000"
    )


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (evaluation(1.5, 1.649, best=1.6), "no_overfitting"),
        (evaluation(1.5, 1.651, best=1.6), "overfitting"),
        (evaluation(1.5, 1.9, best=1.6, train_change=0.2), "unstable"),
        (evaluation(1.5, 1.9, best=1.6, train_change=None), "unstable"),
        (evaluation(1.0, 1.24), "no_overfitting"),
        (evaluation(1.0, 1.26), "wide_gap"),
        (evaluation(0.1, 0.19), "no_overfitting"),
    ],
)
def test_the_course_of_the_losses(given: Evaluation, kind: str) -> None:
    assert kinds_of_losses(given) == {kind}


def test_one_evaluation_shows_no_course() -> None:
    assert kinds_of_losses(evaluation(evaluations=1)) == set()


def test_weights_that_are_no_numbers_leave_nothing_else_to_say() -> None:
    (verdict,) = judge(evaluation(), None, None, diverged=True)
    assert verdict.kind == "diverged"


@pytest.mark.parametrize(
    ("model", "real", "kind"),
    [
        (measures(0.87), measures(0.0), "memorised"),
        (measures(0.10), measures(0.0), "memorised"),
        (measures(0.09), measures(0.0), "copying"),
        (measures(0.30), measures(0.25), "copying"),
        (measures(0.30), measures(0.30), "no_memorisation"),
        (measures(0.0, 0.51), measures(0.0, 0.30), "memorised"),
        (measures(0.0, 0.51), measures(0.0, 0.35), "copying"),
        (measures(0.0, 0.49), measures(0.0, 0.45), "no_memorisation"),
        (measures(0.01, 0.1), measures(), "no_memorisation"),
        (measures(0.9, 1.0), measures(0.9, 1.0), "memorisation_unclear"),
        (measures(0.9, 1.0), measures(0.2, 0.6), "memorised"),
    ],
)
def test_copies_are_judged_beside_real_text(
    model: TextMeasures, real: TextMeasures, kind: str
) -> None:
    assert verdicts_on_texts(model, real).keys() == {kind}


def test_the_sentence_on_memorising_has_both_numbers() -> None:
    sentence = verdicts_on_texts(measures(0.87, 0.95))["memorised"]
    assert "87% of samples occur verbatim in the training text (real text: 0%)" in sentence


def test_what_was_not_searched_is_said() -> None:
    assert (
        "25% of the training text"
        in verdicts_on_texts(measures(), train_share=0.25)["no_memorisation"]
    )


@pytest.mark.parametrize(
    ("model", "real", "found"),
    [
        (measures(seq_rep_4=0.19), measures(), False),
        (measures(seq_rep_4=0.21), measures(), True),
        (measures(seq_rep_4=0.39), measures(seq_rep_4=0.3), False),
        (measures(seq_rep_4=0.41), measures(seq_rep_4=0.3), True),
        (measures(seq_rep_4=None), measures(seq_rep_4=None), False),
    ],
)
def test_repetition_is_judged_beside_real_text(
    model: TextMeasures, real: TextMeasures, found: bool
) -> None:
    assert ("repetitive" in verdicts_on_texts(model, real)) is found


def test_samples_that_are_alike_or_empty_are_named() -> None:
    assert "duplicates" in verdicts_on_texts(measures(unique_ratio=0.5))
    assert "duplicates" not in verdicts_on_texts(
        measures(unique_ratio=0.5), measures(unique_ratio=0.52)
    )
    assert "empty" in verdicts_on_texts(measures(non_empty_ratio=0.5))
    assert "empty" not in verdicts_on_texts(measures(non_empty_ratio=0.95))
