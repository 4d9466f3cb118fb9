"""Cells of a comparison as text."""

import pytest

from transformer_playground.comparison.columns import Delta
from transformer_playground.comparison.compare import MISSING
from transformer_playground.comparison.compared_run import Kind
from transformer_playground.comparison.estimates import Estimate
from transformer_playground.comparison.render import Cell, TableRow, Values, cell_text


def shown(kind: Kind, cell: Cell) -> str:
    return cell_text(TableRow("key", "label", kind, is_delta=False, cells=(cell,)), cell)


@pytest.mark.parametrize(
    ("kind", "mean", "expected"),
    [
        ("count", 1536000, "1.54M"),
        ("step", 2000, "2,000"),
        ("step", 199.6, "200"),
        ("loss", 1.23456, "1.2346"),
        ("perplexity", 1234.5678, "1,234.568"),
        ("rate", 1234.5, "1.23k"),
        ("seconds", 59.4, "59s"),
        ("seconds", 59.96, "1m 00s"),
        ("seconds", 3599.6, "1h 00m"),
        ("seconds", 7325, "2h 02m"),
        ("loss", 1e99, "1.00e99"),
        ("seconds", 1e99, "1.00e99s"),
        ("count", None, "–"),
    ],
)
def test_numbers_are_written_in_their_unit(kind: Kind, mean: float | None, expected: str) -> None:
    assert shown(kind, Estimate(mean, None, 1)) == expected


def test_a_standard_error_stands_behind_its_mean() -> None:
    assert shown("loss", Estimate(2.0, 0.25, 3)) == "2.0000 ± 0.2500"
    assert shown("loss", Estimate(2.0, 0.0, 3)) == "2.0000 ± 0.0000"
    assert shown("count", Estimate(20, 0.0, 3)) == "20"


def test_differences_have_a_sign_and_a_percentage() -> None:
    assert shown("loss", Delta(-0.5, -25.0, None)) == "-0.5000 (-25%)"
    assert shown("seconds", Delta(90.0, 12.34, 1.5)) == "+1m 30s ± 1.5s (+12.3%)"
    assert shown("loss", Delta(0.5, None, None)) == "+0.5000"
    assert shown("count", Delta(2000, 200.0, None)) == "+2.00k (+200%)"
    assert shown("count", Delta(14_662, 1466.2, None)) == "+14.7k (15.7×)"


def test_settings_keep_the_quotes_they_need() -> None:
    cell = Values(("rope", "", " x", None, True, 1e-05, ["a"], MISSING))
    assert shown("count", cell) == 'rope, "", " x", none, true, 1e-5, ["a"], –'
