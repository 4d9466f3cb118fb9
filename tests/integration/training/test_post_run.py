"""What a run makes of itself when training ends: never at the cost of the run."""

import json
from pathlib import Path
from typing import Any

import pytest

from builders.metrics import read_rows
from builders.runs import claim_seconds
from builders.svg_plots import read_svg
from builders.training import Recorder, resume, rows_of, runtime, train
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.status import RunLock, derive_status
from transformer_playground.runs.summary_file import summarise
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import Event, StepLogged
from transformer_playground.training.run import TrainingResult

HOUR = 3600.0


def stop_at(step: int) -> tuple[TrainingControl, Recorder]:
    """A control that is told to stop at a step, and the sink that tells it."""
    control = TrainingControl()

    def react(event: Event) -> None:
        if isinstance(event, StepLogged) and event.step >= step:
            control.stop()

    return control, Recorder(react=react)


def trained_for_an_hour(folder: Path) -> RunFolder:
    """A stopped run whose rows say that it took an hour until then."""
    control, sink = stop_at(9)
    run = train(folder, sinks=[sink], control=control).run
    claim_seconds(run, HOUR)
    assert summarise(run)["wall_time_s"] > HOUR
    assert list(run.reports.iterdir()) == []
    return run


def names(result: TrainingResult) -> list[str]:
    """Kinds of files that were made, which are those in the folder."""
    made = result.artifacts.paths
    assert sorted(result.run.reports.iterdir()) == sorted(made)
    return [path.name.split("-")[0] + path.suffix for path in made]


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({}, ["loss.svg", "report.json"]),
        ({"auto_plot": False}, ["report.json"]),
        ({"auto_report": False}, ["loss.svg"]),
        ({"auto_plot": False, "auto_report": False}, []),
    ],
)
def test_a_long_run_writes_the_artifacts_of_its_settings(
    settings: dict[str, Any], made: list[str], tmp_path: Path
) -> None:
    trained_for_an_hour(tmp_path)

    result = resume(tmp_path, runtime(**settings))

    assert names(result) == made
    assert result.artifacts.warnings == ()
    assert result.summary["status"] == "finished"
    log = result.run.log_path.read_text()
    assert [f"reports/{path.name}" in log for path in result.artifacts.paths] == [True] * len(made)


def test_the_plot_and_the_report_describe_the_run(tmp_path: Path) -> None:
    trained_for_an_hour(tmp_path)

    plot, report = resume(tmp_path).artifacts.paths

    best = summarise(RunFolder(tmp_path / "runs" / "run"))["best_val_loss"]
    assert any(f"best {best:.4f}" in text for text in read_svg(plot).texts)
    assert json.loads(report.read_bytes())["run_id"] == "run"


def test_a_short_run_writes_no_artifacts_and_logs_why(tmp_path: Path) -> None:
    result = train(tmp_path)

    assert names(result) == []
    assert result.artifacts.warnings == ()
    log = result.run.log_path.read_text()
    assert "tp plot-loss --run-id run" in log
    assert "tp report --run-id run" in log


def test_a_stopped_run_writes_its_plot_only(tmp_path: Path) -> None:
    trained_for_an_hour(tmp_path)
    control, sink = stop_at(12)

    result = resume(tmp_path, sinks=[sink], control=control)

    assert result.summary["status"] == "stopped"
    assert names(result) == ["loss.svg"]


def test_a_failed_artifact_is_a_warning_and_the_run_is_finished(tmp_path: Path) -> None:
    run = trained_for_an_hour(tmp_path)
    (run.reports / "loss-curve.svg").mkdir()

    result = resume(tmp_path, runtime(auto_report=False))

    (remark,) = result.artifacts.warnings
    assert remark.startswith("the loss plot was not made: ")
    assert remark.endswith("Try: tp plot-loss --run-id run")
    assert remark in run.log_path.read_text()
    assert derive_status(run).state == "finished"
    stored = json.loads(run.summary_path.read_bytes())
    # The listing takes them, so the summary was written after the last row.
    assert stored.pop("rows")["size"] == run.metrics_path.stat().st_size
    assert result.summary == summarise(run) == stored
    with RunLock(run):
        assert read_rows(run.metrics_path)[-1]["status"] == "finished"


def test_a_reports_folder_that_cannot_be_created_is_a_warning_for_each_artifact(
    tmp_path: Path,
) -> None:
    run = trained_for_an_hour(tmp_path)
    run.reports.rmdir()
    run.reports.write_text("in the way")

    result = resume(tmp_path)

    assert result.summary["status"] == "finished"
    assert result.artifacts.paths == ()
    assert len(result.artifacts.warnings) == 2
    assert run.reports.read_text() == "in the way"


def test_rows_and_weights_are_the_same_with_and_without_extras(tmp_path: Path) -> None:
    with_extras, without = tmp_path / "with", tmp_path / "without"
    trained_for_an_hour(with_extras)
    trained_for_an_hour(without)

    first = resume(with_extras, runtime(max_iters=30)).run
    second = resume(without, runtime(max_iters=30, auto_plot=False, auto_report=False)).run

    assert len(list(first.reports.iterdir())) == 2
    for event in ("train", "eval", "checkpoint"):
        assert rows_of(first, event) == rows_of(second, event)
    assert rows_of(first, "warning") == []
