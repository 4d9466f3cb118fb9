"""One run has the same figures wherever they are shown, and comparing reads its metrics once."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.comparisons import finished_run
from builders.runs import append_rows, eval_row, resume_row, status_row, train_row
from transformer_playground.cli.main import main
from transformer_playground.comparison.compare import compare_folders
from transformer_playground.comparison.render import as_document
from transformer_playground.plots.loss_curves import read_loss_curves
from transformer_playground.report.evaluation import history
from transformer_playground.runs.fields import FIELDS
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.listing import list_runs, refresh_run
from transformer_playground.runs.series import RunSeries
from transformer_playground.runs.summary import read_summary
from transformer_playground.runs.summary_file import write_summary
from transformer_playground.tui.live.follower import RunFollowers, ViewRequest
from transformer_playground.tui.live.quantities import find_quantity
from transformer_playground.tui.live.stats import (
    RunActivity,
    best_text,
    percent_of,
    time_text,
)
from transformer_playground.tui.runs.table_columns import find_column
from transformer_playground.tui.runs.table_state import RunsTableState

NAN = float("nan")
# A resume supersedes what comes after step 40, the machine rested for an hour before it, a loss is
# no number, one evaluation has fewer keys than the others, and the last is not finite.
BEFORE = [
    train_row(20, tokens_per_sec=100.0),
    eval_row(20, 3.0, train_loss=2.9, val_bits_per_byte=4.0),
    train_row(40, tokens_per_sec=300.0),
    eval_row(40, 2.5, train_loss=2.4, val_bits_per_byte=3.5),
    train_row(60, tokens_per_sec=9_000.0),
    eval_row(60, 0.5, train_loss=0.4, val_bits_per_byte=0.1),
]
AFTER = [
    resume_row(40, time=9_000.0),
    status_row(40, "running", time=9_000.0, max_iters=100),
    train_row(60, time=9_010.0, tokens_per_sec=200.0, train_loss=None),
    {"event": "eval", "step": 60, "time": 9_011.0, "val_loss": 2.5},
    train_row(80, time=9_020.0, tokens_per_sec=500.0, train_loss=1.75),
    eval_row(80, 2.75, time=9_021.0, train_loss=1.7, val_bits_per_byte=3.75),
    train_row(99, time=9_030.0, tokens_per_sec=None, train_loss=None),
    eval_row(99, None, time=9_031.0, train_loss=None),
    status_row(99, "stopped", time=9_032.0),
]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = finished_run(tmp_path / "runs", "odd", rows=BEFORE, state="stopped")
    append_rows(run, AFTER)
    finished_run(tmp_path / "runs", "plain", 2.0)
    return run


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(list(words)) == 0
    return json.loads(capsys.readouterr().out)


def test_every_view_shows_the_same_figures(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_summary(run)
    with contextlib.chdir(tmp_path):
        listed = {row["run_id"]: row for row in printed(capsys, "runs", "--json")}["odd"]
        details = printed(capsys, "runs", "show", "odd", "--json")
        document = printed(capsys, "compare", "--run-ids", "odd,plain", "--json")
    compared = document["runs"][0]["measures"]
    series = RunSeries(run.metrics_path)
    series.poll()
    course, curves = history(series, None), read_loss_curves(run)
    focus = (
        RunFollowers(tmp_path / "runs")
        .poll(ViewRequest(("odd",), "odd", find_quantity("loss")))
        .focus
    )
    assert course is not None
    assert curves.best is not None
    assert focus is not None
    live = focus.stats.summary

    # The best evaluation, the earlier of two equals; those that were superseded do not count.
    assert [
        *[(each["best_val_loss"], each["best_step"]) for each in (written, listed, details)],
        (compared["best_val_loss"], compared["best_step"]),
        (course.best_val_loss, course.best_step),
        (curves.best.loss, curves.best.step),
        (live.best_val_loss, live.best_step),
    ] == [(2.5, 40)] * 7
    assert (compared["best_bits_per_byte"], live.best_bits_per_byte) == (3.5, 3.5)

    # How far it has come, and in what time: a minute and 32 seconds before and after the rest.
    steps = (written["final_step"], listed["step"], compared["final_step"], live.step)
    assert steps == (99,) * 4
    seen = (written["tokens_seen"], listed["tokens_seen"], compared["tokens_seen"])
    assert (*seen, live.tokens_seen) == (990,) * 4
    times = (written["wall_time_s"], listed["wall_time"], compared["wall_time_s"])
    assert (*times, live.wall_time_s) == (132.0,) * 4

    # The median of what holds, the newest finite value, and what the last evaluation says.
    medians = (listed["tokens_per_second"], compared["tokens_per_second"])
    assert (*medians, live.tokens_per_sec_median) == (250.0,) * 3
    assert live.tokens_per_sec == 500.0
    assert (listed["val_loss"], course.newest_val_loss, live.val_loss) == (2.75,) * 3
    assert (listed["train_loss"], live.train_loss) == (1.75, 1.75)
    assert (listed["bits_per_byte"], live.bits_per_byte) == (3.75, 3.75)
    finals = ("final_val_loss", "final_train_loss", "final_bits_per_byte", "generalisation_gap")
    assert [compared[key] for key in finals] == [None] * 4
    assert compared["final_perplexity"] is None
    assert written["early_stopped"] is False
    states = (written["status"], listed["state"], document["runs"][0]["state"], live.status)
    assert states == ("stopped",) * 4
    # Only in a list has a run a name: it says what differs from the others.
    own = {key: value for key, value in listed.items() if key != "name"}
    assert {key: details[key] for key in own} == own


def test_the_table_and_the_live_panel_write_the_same_figures(run: RunFolder) -> None:
    rows = {row.run_id: row for row in list_runs(run.root.parent)}
    table = RunsTableState()
    table.take(rows, 0.0)
    request = ViewRequest(("odd",), "odd", find_quantity("loss"))
    focus = RunFollowers(run.root.parent).poll(request).focus
    assert focus is not None
    # Rounded down: 99 of 100 steps are not all of them.
    assert table.text("odd", find_column("progress"), 0.0).endswith(" 99%")
    assert percent_of(focus.stats) == 99
    assert table.text("odd", find_column("wall_time"), 0.0) == "2m 12s"
    assert time_text(focus.stats, RunActivity("stopped"), 0.0) == ("trained", "2m 12s")
    assert table.text("odd", find_column("best_val_loss"), 0.0) == "2.5000"
    assert best_text(focus.stats) == "2.5000 @ 40"
    assert FIELDS["step"].text(rows["odd"], 0.0) == "99/100"


def test_however_a_summary_was_read_it_is_the_same(run: RunFolder, tmp_path: Path) -> None:
    lines = run.metrics_path.read_bytes().splitlines(keepends=True)
    grown = finished_run(tmp_path / "grown", "odd", rows=[])
    grown.metrics_path.write_bytes(b"")
    (row,) = list_runs(tmp_path / "grown")
    followers = RunFollowers(tmp_path / "grown")
    for line in lines:
        with grown.metrics_path.open("ab") as file:
            file.write(line)
        row = refresh_run(tmp_path / "grown", row)
        frame = followers.poll(ViewRequest(("odd",), "odd", find_quantity("loss")))
        whole, _ = read_summary(grown.metrics_path)
        assert frame.focus is not None
        assert row.summary == frame.focus.stats.summary == whole


@contextlib.contextmanager
def counted_opens() -> Iterator[Counter[str]]:
    """Counts how often each file is opened, by any means."""
    opened: Counter[str] = Counter()
    is_on = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event == "open":
            opened[str(arguments[0])] += 1

    # A hook cannot be taken away again.
    sys.addaudithook(note)
    try:
        yield opened
    finally:
        is_on = False


def test_a_comparison_reads_each_metrics_file_once(run: RunFolder) -> None:
    folders = [run, RunFolder(run.root.parent / "plain")]
    with counted_opens() as opened:
        as_document(compare_folders(folders))
    assert [opened[str(folder.metrics_path)] for folder in folders] == [1, 1]
