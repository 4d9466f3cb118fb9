"""One run's numbers read the same wherever they are shown."""

import math
from pathlib import Path
from typing import Any

import pytest

from builders.commands import Project, Tp
from builders.events import logged_step
from builders.runs import eval_row, make_run, run_info, status_row, train_row
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.report.render import markdown_report, summary
from transformer_playground.report.schema import (
    CheckpointInfo,
    Evaluation,
    History,
    Report,
)
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.series import RunSeries
from transformer_playground.training.events import Evaluated, RunFinished, RunStarted
from transformer_playground.training.sinks.text import describe
from transformer_playground.tui.launch.service import summary_lines
from transformer_playground.tui.live.stats import RunActivity, stats_of, stats_table
from transformer_playground.tui.runs.commands import export_table
from transformer_playground.tui.runs.details_text import run_overview
from transformer_playground.tui.runs.table_columns import find_column
from transformer_playground.tui.runs.table_state import RunsTableState

PARAMETERS, SECONDS, LOSS, RATE, TOKENS = 804_096, 3_725.0, 12.34567, 12_345.0, 1_536_000
SHOWN = {
    "parameters": "804k",
    "time": "1h 02m",
    "loss": "12.3457",
    "rate": "12.3k",
    "tokens": "1.54M",
}
OTHER_STYLES = ("804,096", "804 k", "804.1k", "1h 02m 05s", "1h2m5s", "62m", "12,345", "1,536,000")


@pytest.fixture
def runs_dir(project: Project) -> Path:
    """Two runs with the same numbers."""
    rows = [
        status_row(0, "running"),
        train_row(1999, time=1000.0 + SECONDS - 1, tokens_per_sec=RATE, tokens_seen=TOKENS),
        eval_row(1999, LOSS, time=1000.0 + SECONDS),
        status_row(1999, "stopped", time=1000.0 + SECONDS),
    ]
    config = {"train": {"runtime": {"max_iters": 2000}}}
    for run_id in ("a", "b"):
        make_run(project.root / "runs", run_id, rows, parameters=PARAMETERS, config=config)
    return project.root / "runs"


def row_of(runs_dir: Path) -> RunInfo:
    return next(row for row in list_runs(runs_dir) if row.run_id == "a")


def has(text: str, *quantities: str) -> None:
    for quantity in quantities:
        assert SHOWN[quantity] in text, text
    for other in OTHER_STYLES:
        assert other not in text


def test_lists_and_details_of_runs_agree(runs_dir: Path, tp: Tp) -> None:
    everything = ("parameters", "time", "loss", "rate", "tokens")
    columns = "params,wall_time,best_val_loss,tokens_per_second,tokens_seen"
    has(tp("runs", "--columns", columns).out, *everything)
    has(tp("runs", "show", "a").out, *everything)
    details = run_overview(row_of(runs_dir), None, None, 80, 0.0)
    has("\n".join("".join(text for text, _ in line) for line in details), *everything)


@pytest.mark.usefixtures("runs_dir")
@pytest.mark.parametrize("form", [(), ("--markdown",)])
def test_comparisons_agree(tp: Tp, form: tuple[str, ...]) -> None:
    shown = tp("compare", "--run-ids", "a,b", "--n-samples", 0, *form).out
    has(shown, "parameters", "time", "loss", "rate", "tokens")


def test_the_live_view_agrees(runs_dir: Path) -> None:
    series = RunSeries(runs_dir / "a" / "metrics.jsonl")
    series.poll()
    shown = "\n".join(text for _, text, _ in stats_table(stats_of(series), RunActivity(), 0.0))
    has(shown, "time", "loss", "tokens")


def test_the_lines_of_training_agree() -> None:
    started = RunStarted(
        step=0,
        run_id="a",
        max_iters=2000,
        parameters=PARAMETERS,
        device="cpu",
        dtype="float32",
        dtype_reason="as configured",
        tokens_per_step=4,
        resumed_from=None,
    )
    has(describe(started), "parameters")
    has(describe(logged_step(5, tokens_per_sec=RATE, train_loss=LOSS)), "rate", "loss")
    losses: dict[str, Any] = {"train_loss": 1.0, "val_loss": LOSS, "train_ppl": 1.0, "val_ppl": 1.0}
    losses |= {"val_bits_per_byte": 1.0, "eval_windows": 2, "window_tokens": 8}
    has(describe(Evaluated(step=5, is_best=True, **losses)), "loss")
    finished = RunFinished(
        step=5,
        status="finished",
        early_stopped=False,
        best_val_loss=LOSS,
        best_step=5,
        tokens_seen=TOKENS,
        wall_time=SECONDS,
        peak_memory=1 << 20,
    )
    has(describe(finished), "loss", "time")


def test_the_preview_of_a_launch_agrees() -> None:
    lines = dict(summary_lines(ExperimentConfig(), PARAMETERS))
    has(lines["model"], "parameters")
    assert "from 1.00e-3" in lines["learning"]


def test_reports_agree() -> None:
    history = History(4, 1999, LOSS, 2000, LOSS + 1, 1.0, 0.0, 1.0)
    evaluation = Evaluation(math.log(65), None, None, history)
    checkpoint = CheckpointInfo("best.pt", 1999, ())
    report = Report("a", None, "", "full", checkpoint, None, evaluation, None, None, (), (), 0.0)
    has(summary(report), "loss")
    has(markdown_report(report), "loss")


def test_progress_reaches_100_percent_only_at_the_end(runs_dir: Path) -> None:
    state = RunsTableState()
    state.take({"a": row_of(runs_dir)}, 0.0)
    assert state.text("a", find_column("progress"), 0.0).endswith(" 99%")


def test_an_exported_table_is_safe_in_a_spreadsheet_and_in_markdown(tmp_path: Path) -> None:
    rows = [run_info("a", "finished", val_loss=-0.5, note="=HYPERLINK(1)", tags=("x", "y"))]
    columns = [find_column(key) for key in ("val_loss", "tag", "note")]
    written = export_table(tmp_path, rows, columns, "csv", 0.0).read_text(encoding="utf-8")
    assert written.splitlines() == ["run,val_loss,tag,note", "a,-0.5,x y,'=HYPERLINK(1)"]
    rows = [RunInfo("a", "finished", note="**bold** | <b>")]
    written = export_table(tmp_path, rows, columns, "md", 0.0).read_text(encoding="utf-8")
    assert r"| \*\*bold\*\* \| \<b\> |" in written
