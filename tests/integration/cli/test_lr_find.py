"""`tp lr-find`: a range test on a model that is thrown away."""

import pytest

from builders.commands import Project, Tp
from builders.schemas import check

FIND = ("lr-find", "tiny", "--steps", "40", "--end", "1000")


def test_a_rate_is_found_and_no_run_is_made(tp: Tp, project: Project) -> None:
    found = tp(*FIND, "--json", "--out", "rates.svg")
    assert found.code == 0, found.err
    (document,) = found.lines
    check("lr-find", document)
    assert document["experiment"] == "tiny"
    assert document["diverged"]
    assert len(document["rates"]) < 40
    # A step has no influence on the loss that it starts from.
    assert document["losses"][0] == pytest.approx(document["losses"][1], rel=0.1)
    assert 1e-4 < document["suggestion"] < 1
    assert "suggested" in (project.root / "rates.svg").read_text(encoding="utf-8")
    assert project.runs == []

    again = tp(*FIND)
    assert f"--set train.optim.learning_rate={document['suggestion']:g}" in again.out
    assert "step 4 of 40" in again.err


def test_the_rates_of_other_groups_grow_in_proportion(tp: Tp) -> None:
    muon = ("--set", "train.optim.optimizer=muon", "--set", "train.optim.muon_learning_rate=0.01")

    (document,) = tp("lr-find", "tiny", "--steps", "10", "--json", *muon).lines

    assert document["muon_ratio"] == pytest.approx(10.0)
    assert document["current"] == 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--start", "1", "--end", "0.1"), "--start 1 and --end 0.1 are no range"),
        (("--start", "0"), "are no range of rates"),
        (("--end", "inf"), "inf is not a finite number"),
        (("--start", "nan"), "nan is not a finite number"),
        (("--start", "1"), "--start 1 and --end 1 are no range"),
        (("--steps", "3"), "--steps"),
        (("--out", "rates.gif"), "cannot be written as 'rates.gif'"),
    ],
)
def test_what_is_no_range_is_refused(tp: Tp, options: tuple[str, ...], words: str) -> None:
    ended = tp("lr-find", "tiny", *options)

    assert ended.code == 2
    assert words in ended.err
