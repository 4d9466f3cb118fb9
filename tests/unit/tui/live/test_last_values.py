"""The table of last, lowest and highest values."""

from pathlib import Path

import numpy as np

from builders.runs import eval_row, make_run, status_row, train_row
from transformer_playground.runs.series import Curve
from transformer_playground.runs.thinning import Buckets
from transformer_playground.tui.live.follower import (
    LiveFrame,
    RunCurves,
    RunFollowers,
    ViewRequest,
)
from transformer_playground.tui.live.last_values import (
    TITLES,
    ValueColumns,
    ValueRow,
    matching,
    value_rows,
)
from transformer_playground.tui.live.quantities import find_quantity, quantities_in

NAMES = {"a": "rope 1e-2", "b": "alibi"}


def rows_of(folder: Path) -> tuple[ValueRow, ...]:
    for name, losses in (("a", (3.0, 1.0, 2.0)), ("b", (4.0, float("nan")))):
        rows = [status_row(0, "running")]
        for step, loss in enumerate(losses):
            rows += [train_row(10 * step, train_loss=loss, lr=1e-3), eval_row(10 * step, loss)]
        rows += [train_row(50, own_metric=7.0)] if name == "b" else []
        make_run(folder, name, rows)
    followers = RunFollowers(folder)
    request = ViewRequest(("a", "b"), None, find_quantity("loss"), has_all_beside=True)
    found = quantities_in(followers.poll(request).keys)
    request = ViewRequest(("a", "b"), None, find_quantity("loss"), "step", found, (), True)
    return value_rows(followers.poll(request))


def test_every_number_of_every_run_has_its_last_lowest_and_highest_value(tmp_path: Path) -> None:
    found = rows_of(tmp_path)
    rows = {(row.name, row.run_id): row.figures for row in found}
    assert rows["train loss", "a"] == ("2.0000 @ 20", "1.0000 @ 10", "3.0000 @ 0")
    assert rows["val loss", "a"] == rows["train loss", "a"]
    assert rows["learning rate", "a"] == ("1.00e-3 @ 20", "1.00e-3 @ 0", "1.00e-3 @ 0")
    # What is not a number counts as not measured.
    assert rows["val loss", "b"] == ("4.0000 @ 0",) * 3
    assert rows["own metric", "b"] == ("7.0000 @ 50",) * 3
    assert ("own metric", "a") not in rows
    assert len({row.key for row in found}) == len(found)


def test_a_value_of_thinned_rows_has_the_steps_between_which_it_was() -> None:
    buckets = Buckets(np.array([10, 10]), np.array([10, 10]), np.array([1.5, 2.5]))
    x, y = np.array([1.0, 10, 11, 20, 21]), np.array([9.0, 1, 2, 3, 4])
    loss = find_quantity("grad_norm")
    request = ViewRequest(("a",), None, loss, beside=(loss,), has_all_beside=True)
    run = RunCurves("a", (), beside=((Curve(x, y, buckets),),))
    (row,) = value_rows(LiveFrame(request, (run,), None, None, True, 0.0))
    assert row.figures == ("4.0000 @ 21", "1.0000 @ 1–10", "9.0000 @ 1–10")


def test_typing_narrows_to_numbers_and_runs_with_all_words(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    assert matching(rows, "", NAMES) == rows
    found = matching(rows, "LEARNING rope", NAMES)
    assert [(row.name, row.run_id) for row in found] == [("learning rate", "a")]
    assert matching(rows, "nothing", NAMES) == ()


def test_columns_are_aligned_and_the_first_one_gives_way(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    labels = [row.name for row in rows]
    for width in (200, 60, 10):
        columns = ValueColumns.fitting(rows, labels, width)
        lines = ["".join(columns.line(row.name, row.figures)) for row in rows]
        lines.append("".join(columns.line("", TITLES)))
        assert len({len(line) for line in lines}) == 1
        assert len(lines[0]) <= max(width, 60)
    assert columns.line("a long name of a number", ("1", "2", "3"))[0] == "a l…mber"
