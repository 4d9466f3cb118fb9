"""Lines of the small charts."""

from dataclasses import replace
from pathlib import Path

from builders.runs import eval_row, make_run, status_row, train_row
from transformer_playground.runs.fields import Parent
from transformer_playground.tui.charts.grid import GridCell
from transformer_playground.tui.charts.modes import ChartModes
from transformer_playground.tui.grid.cells import quantity_cells, run_cells
from transformer_playground.tui.live.chart_series import RunStyle
from transformer_playground.tui.live.follower import RunFollowers, ViewRequest
from transformer_playground.tui.live.quantities import find_quantity

STYLE = RunStyle("label", "●", "#56b4e9", "#305a75", "#ffffff")
FROM_TREE = (("twig", (Parent("tree", 20),)),)


def family(tmp_path: Path) -> None:
    for name, steps in (("tree", (10, 20, 30)), ("twig", (20, 30))):
        rows = [row for step in steps for row in (train_row(step), eval_row(step, 3.0))]
        make_run(tmp_path, name, [status_row(0, "running"), *rows])


def faint(cell: GridCell) -> list[list[float]]:
    return [line.x.tolist() for line in cell.lines if line.colour == STYLE.faint]


def test_behind_a_branch_is_what_it_continues_in_its_own_chart_alone(tmp_path: Path) -> None:
    family(tmp_path)
    request = ViewRequest(("tree", "twig"), "tree", find_quantity("loss"), lineages=FROM_TREE)
    styles = {"tree": STYLE, "twig": STYLE}
    frame = RunFollowers(tmp_path).poll(request)
    tree, twig = run_cells(frame, ("tree", "twig"), styles, None)
    assert (faint(tree), faint(twig)) == ([], [[10, 20]])


def test_each_quantity_of_a_branch_has_that_of_its_parent_behind_it(tmp_path: Path) -> None:
    family(tmp_path)
    loss, speed = find_quantity("loss"), find_quantity("tokens_per_sec")
    request = ViewRequest(("twig",), "twig", loss, "step", (loss, speed), FROM_TREE, True)
    frame = RunFollowers(tmp_path).poll(request)
    cells = quantity_cells(frame, (loss.id, speed.id), {"twig": STYLE}, ChartModes())
    assert [faint(cell) for cell in cells] == [[[10, 20]] * 2, [[10, 20]]]


def test_each_quantity_has_the_curves_of_all_runs_with_their_signs(tmp_path: Path) -> None:
    for number, name in enumerate("abcd"):
        rows = [status_row(0, "running"), train_row(1), eval_row(1, 3.0 - number)]
        rows += [train_row(2, own_metric=1.0)] if name == "b" else []
        make_run(tmp_path, name, rows)
    runs = tuple("abcd")
    loss, own = find_quantity("loss"), find_quantity("own_metric", "train")
    speed = find_quantity("tokens_per_sec")
    styles = {name: replace(STYLE, label=name, glyph=name) for name in runs}
    request = ViewRequest(runs, "c", loss, beside=(loss, speed, own), has_all_beside=True)
    modes = ChartModes([speed.id])
    frame = RunFollowers(tmp_path).poll(request)
    shown = (loss.id, speed.id, own.id)
    cells = quantity_cells(frame, shown, styles, modes)
    signs = ["".join(line.glyph for line in cell.lines) for cell in cells]
    # Beyond three runs only validation is drawn; a run without a quantity has no line there.
    assert signs == ["abcd", "abcd", "b"]
    assert [line.y.tolist() for line in cells[0].lines] == [[3.0], [2.0], [1.0], [0.0]]
    assert [(cell.mode.log_y, cell.note) for cell in cells] == [
        (False, ""),
        (True, "log"),
        (False, ""),
    ]
    few = replace(request, runs=("a", "b"), focus="a")
    (cell,) = quantity_cells(RunFollowers(tmp_path).poll(few), (loss.id,), styles, modes)
    assert [(line.glyph, line.in_legend) for line in cell.lines] == [
        ("a", True),
        ("b", True),
        ("─", False),
        ("─", False),
    ]
    # The quantities of other pages cost no lines.
    assert quantity_cells(frame, (), styles, modes) == []
