"""Lines of the small charts."""

from pathlib import Path

from builders.runs import eval_row, make_run, status_row, train_row
from transformer_playground.runs.fields import Parent
from transformer_playground.tui.charts.grid import GridCell
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
    request = ViewRequest(("twig",), "twig", loss, "step", (loss, speed), FROM_TREE)
    cells = quantity_cells(RunFollowers(tmp_path).poll(request), (loss.id, speed.id), STYLE)
    assert [faint(cell) for cell in cells] == [[[10, 20]] * 2, [[10, 20]]]
