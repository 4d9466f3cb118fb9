"""The numbers of one run, from its rows."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builders.runs import eval_row, train_row
from transformer_playground.comparison.compared_run import METRICS, metric_values
from transformer_playground.jsonvalues import as_number
from transformer_playground.runs.jsonl import encode_row
from transformer_playground.runs.summary import RunSummary, read_summary

Measured = Callable[..., SimpleNamespace]


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    def measure(*rows: dict[str, Any]) -> SimpleNamespace:
        (tmp_path / "m").write_bytes(b"".join(map(encode_row, rows)))
        summary, _ = read_summary(tmp_path / "m")
        return SimpleNamespace(**metric_values(10, summary))

    return measure


def test_each_quantity_is_described_once() -> None:
    keys = [each.key for each in METRICS]
    assert len(keys) == len(set(keys))
    assert [*metric_values(10, RunSummary())] == keys


def test_best_and_final_are_those_of_their_evaluations(measured: Measured) -> None:
    found = measured(
        eval_row(10, 3.0, train_loss=2.9, val_bits_per_byte=4.0),
        eval_row(20, 2.0, train_loss=1.9, val_bits_per_byte=2.5),
        eval_row(30, 2.25, train_loss=1.5, val_bits_per_byte=2.75),
    )
    assert (found.best_val_loss, found.best_step, found.best_bits_per_byte) == (2.0, 20, 2.5)
    assert (found.final_val_loss, found.final_train_loss) == (2.25, 1.5)
    assert found.final_bits_per_byte == 2.75
    assert found.generalisation_gap == 0.75
    assert found.best_perplexity == pytest.approx(math.e**2)
    assert found.final_perplexity == pytest.approx(math.e**2.25)


def test_throughput_is_the_median_of_the_training_rows(measured: Measured) -> None:
    rates = [1.0, 500.0, None, 510.0, 505.0, 90_000.0]
    rows = [train_row(step, tokens_per_sec=rate) for step, rate in enumerate(rates)]
    assert measured(*rows).tokens_per_second == 505.0


def test_a_last_evaluation_that_is_not_finite_leaves_the_best_one_alone(measured: Measured) -> None:
    found = measured(eval_row(10, 3.0, train_loss=2.9), eval_row(20, None, train_loss=float("nan")))
    assert found.best_val_loss == 3.0
    assert found.final_val_loss is None
    assert found.final_train_loss is None
    assert found.generalisation_gap is None
    assert found.final_perplexity is None


def test_a_loss_beyond_any_perplexity_has_none(measured: Measured) -> None:
    assert measured(eval_row(1, 5000.0)).best_perplexity is None


def test_a_run_without_rows_has_no_wall_time(measured: Measured) -> None:
    assert measured().wall_time_s is None
    assert measured(train_row(1), train_row(2, time=1008.5)).wall_time_s == 7.5


def test_rows_without_times_leave_the_wall_time_unknown(measured: Measured) -> None:
    row = train_row(1)
    del row["time"]
    assert measured(row).wall_time_s is None


@pytest.mark.parametrize(
    "value", [None, True, "1", [1], math.nan, math.inf, -math.inf, 10**400, 1e300]
)
def test_what_no_run_measures_is_no_number(value: object) -> None:
    assert as_number(value) is None


@pytest.mark.parametrize("value", [0, -1.5, 10**15])
def test_a_number_stays_as_it_is(value: float) -> None:
    assert as_number(value) is value
