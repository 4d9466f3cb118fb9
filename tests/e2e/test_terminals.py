"""Commands at a terminal, in a pipe that closes, and on a disk that is full."""

import re
import shutil

import pytest

from builders.commands import CONTROL, TP, Project, in_process
from builders.comparisons import finished_run
from builders.runs import make_run, train_row
from builders.terminals import AtTerminal
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.runs.index import flatten

# What Rich draws a moving line with: colours, the cursor, erased lines.
DRAWING = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[[0-9]*A|\r")


def at_terminal(project: Project, columns: int, *words: str) -> tuple[int, str]:
    """Exit code and raw output of a command whose three streams are a terminal."""
    return AtTerminal(project, *words, columns=columns).wait()


@pytest.mark.parametrize("columns", [40, 120])
def test_a_progress_bar_stays_clean_around_a_hostile_model(
    project: Project, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    hostile = "\x1b]52;c;cm0=\x07\x9b31m\x7f\u202e\x08\x00 1 bottle\n"
    project.raw.write_text(hostile * 60, encoding="utf-8")
    code, output = at_terminal(
        project,
        columns,
        *("loop", "tiny", "--run-id", "r", "--set", "train.runtime.sample_interval=10"),
        *("--set", "sample.sample.temperature=9", "--set", "sample.sample.max_new_tokens=200"),
    )
    assert code == 0, output
    assert "Traceback" not in output
    drawn = DRAWING.sub("", output)
    assert CONTROL.search(drawn) is None
    assert "\N{SYMBOL FOR ESCAPE}" in drawn
    for text in ("20/20", "lr ", "tokens/s", "eta", "val "):
        assert text in drawn.replace("\n", " ")
    # At a terminal the sample comes piece by piece; it is the same text all the same.
    sampled = in_process(project, capsys, "sample", "r").out
    assert drawn.replace("\r\n", "\n").endswith(sampled)


def test_a_table_fits_a_narrow_terminal(project: Project) -> None:
    make_run(project.root / "runs", "tiny-20260101-101010-abcd", rows=[train_row(1)])
    code, output = at_terminal(project, 40, "runs")
    assert code == 0
    plain = DRAWING.sub("", output)
    assert "tiny-20260101-101010-abcd" in plain
    assert max(map(len, plain.splitlines())) <= 40


def test_no_name_of_a_setting_is_cut_in_a_usual_terminal(project: Project) -> None:
    settings = ExperimentConfig.model_validate({}).model_dump(mode="json")
    settings["prepare"]["raw_dir"] = "/a/long/way" * 20
    origins = dict.fromkeys(flatten(settings), "experiments/shakespeare/config.toml, line 12")
    make_run(project.root / "runs", "tiny-1", config=settings, provenance=origins)
    code, output = at_terminal(project, 80, "runs", "show", "tiny-1")
    assert code == 0
    plain = DRAWING.sub("", output).partition("set by")[2].partition("Environment")[0]
    rows = [line for line in plain.splitlines() if line.startswith("  ")]
    assert {row.split()[0] for row in rows} == set(origins)
    assert max(map(len, rows)) <= 80


def test_a_comparison_fits_its_terminal_whatever_the_runs_are_called(project: Project) -> None:
    names = [f"shakespeare_char-20261121-04024{number}-ab1{number}" for number in range(6)]
    for number, name in enumerate(names):
        finished_run(project.root / "runs", name, 2.0 - number / 10, model={"x": "y" * number * 30})
    for count in (3, 6):
        code, output = at_terminal(project, 80, "compare", "--run-ids", ",".join(names[:count]))
        assert code == 0, output
        lines = DRAWING.sub("", output).splitlines()
        assert max(map(len, lines)) <= 80
        assert f"[{count}] {names[count - 1]}" in lines
        assert any(line.startswith("[2]") and "-0.1000 ✓" in line for line in lines)


def test_samples_lie_side_by_side_where_there_is_room(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(project, capsys, "loop", "tiny", "--run-id", "one").code == 0
    shutil.copytree(project.run_named("one").root, project.run_named("two").root)
    words = ("compare", "--run-ids", "one,two", "--no-group", "--prompt", "10 b")
    for columns, together in ((100, True), (99, False)):
        code, output = at_terminal(project, columns, *words)
        assert code == 0, output
        drawn = DRAWING.sub("", output)
        assert CONTROL.search(drawn) is None
        assert "␛" not in drawn
        titles = [line.count("(best_val.pt, step") for line in drawn.splitlines()]
        assert max(titles) == (2 if together else 1)
        assert max(line.count("10 b") for line in drawn.splitlines()) == (2 if together else 1)


@pytest.mark.parametrize("words", ["runs", "runs --json", "experiments", "--help"])
def test_a_reader_that_leaves_early_sees_no_traceback(project: Project, words: str) -> None:
    for number in range(300):
        make_run(project.root / "runs", f"run-{number:03}")
    ended = project.child("bash", "-c", f"{TP} {words} | head -c 10; exit ${{PIPESTATUS[0]}}")
    assert ended.code == 0, ended.err
    assert ended.err == ""


def test_training_goes_on_when_its_output_cannot_be_written(project: Project) -> None:
    assert project.child(TP, "prepare", "tiny").code == 0
    program = f"{TP} train tiny --run-id r | head -n 1; exit ${{PIPESTATUS[0]}}"
    ended = project.child("bash", "-c", program)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert (project.run_named("r").checkpoints / "ckpt_last_00000020.pt").is_file()
    assert "was dropped" in project.run_named("r").log_path.read_text()
