"""Run follower: curves, numbers, log and samples from the files of runs."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from builders.corpora import prepared
from builders.runs import (
    append_rows,
    eval_row,
    make_run,
    resume_row,
    status_row,
    train_row,
    write_writer,
)
from transformer_playground.data.dataset import open_dataset
from transformer_playground.evaluation.baseline import BaselineResult, ngram_baseline
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.runs.metrics import Axis
from transformer_playground.tui.charts.series import ChartLine
from transformer_playground.tui.core.workspace import (
    Workspace,
    focus_of,
    run_in_focus,
    runs_to_show,
)
from transformer_playground.tui.live.chart_series import (
    RunStyle,
    chart_lines,
    why_no_ngram_line,
)
from transformer_playground.tui.live.follower import (
    MAX_LOG_LINES,
    MAX_MARKS,
    MAX_SAMPLES,
    LiveFrame,
    RunFollowers,
    ViewRequest,
)
from transformer_playground.tui.live.polling import FilePoller
from transformer_playground.tui.live.quantities import (
    QUANTITIES,
    find_quantity,
    quantities_in,
    remember_quantity,
    remembered_quantity,
)
from transformer_playground.tui.live.stats import log_line
from transformer_playground.tui.settings import Settings

LOSS = QUANTITIES[0]
START = status_row(0, "running", max_iters=100, device="cpu", dtype="float32")


def request(*runs: str, quantity: str = "loss", beside: tuple[str, ...] = ()) -> ViewRequest:
    also = tuple(find_quantity(key) for key in beside)
    return ViewRequest(runs, runs[0], find_quantity(quantity), beside=also)


def write_samples(run: RunFolder, *steps: int, text: str = "words", time: float = 0.0) -> None:
    with JsonlWriter(run.samples_path) as samples:
        for step in steps:
            samples.append({"step": step, "time": time, "prompt": "p", "text": f"{text} {step}"})


def test_a_second_poll_adds_new_rows_and_keeps_unchanged_curves(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", [START, train_row(1), eval_row(1, 3.0)])
    make_run(tmp_path, "b", [train_row(1)])
    followers = RunFollowers(tmp_path)
    first = followers.poll(request("a", "b"))
    append_rows(run, [train_row(2)])
    second = followers.poll(request("a", "b"))
    third = followers.poll(request("a", "b"))
    assert [list(curve.x) for curve in first.runs[0].curves] == [[1], [1]]
    assert list(second.runs[0].curves[0].x) == [1, 2]
    assert second.runs[1].curves[0] is first.runs[1].curves[0]
    assert (first.changed, second.changed, third.changed) == (True, True, False)


def baseline_line(frame: LiveFrame) -> list[ChartLine]:
    style = RunStyle("a", "●", "#56b4e9", "#123456", "#ffffff")
    lines = chart_lines(frame, {"a": style, "b": style}, is_smoothed=False)
    return [line for line in lines if line.key == "ngram"]


def test_n_grams_that_are_counted_meanwhile_become_a_line_of_runs_of_one_dataset(
    tmp_path: Path,
) -> None:
    config = prepared(tmp_path / "corpus")
    dataset = open_dataset(config.dataset_dir, prepare_command="tp prepare")
    settings = {"prepare": {"dataset_dir": str(config.dataset_dir)}}
    runs = tmp_path / "runs"
    rows = [START, train_row(1), eval_row(5, 9.0), eval_row(10, 0.1)]
    own = {"config": settings, "dataset": {"fingerprint": dataset.fingerprint}}
    make_run(runs, "a", rows, **own)
    make_run(runs, "b", rows, **own | {"dataset": {"fingerprint": "other"}})
    followers = RunFollowers(runs)
    before = followers.poll(request("a"))
    assert before.focus is not None
    assert (before.baseline, before.focus.stats.ngram) == (None, None)
    loss = ngram_baseline(dataset).losses[5]
    frame = followers.poll(request("a"))
    assert frame.changed
    assert frame.focus is not None
    assert frame.focus.stats.ngram == BaselineResult(5, loss, 10)
    (line,) = baseline_line(frame)
    assert why_no_ngram_line(frame, "m") == ""
    assert (list(line.x), list(line.y), line.label) == ([1, 10], [loss, loss], "5-gram")
    assert not followers.poll(request("a")).changed
    both = followers.poll(request("a", "b"))
    assert both.focus is not None
    assert (both.baseline, baseline_line(both)) == (None, [])
    assert "different datasets" in why_no_ngram_line(both, "m")
    assert both.focus.stats.ngram is not None
    rates = followers.poll(request("a", quantity="lr"))
    assert baseline_line(rates) == []
    assert why_no_ngram_line(rates, "m").endswith("beside the loss; m switches to it.")


def test_followers_of_runs_that_are_not_requested_are_dropped(tmp_path: Path) -> None:
    for name in "ab":
        make_run(tmp_path, name, [train_row(1)])
    followers = RunFollowers(tmp_path)
    followers.poll(request("a", "b"))
    followers.poll(request("b"))
    assert list(followers.followed) == ["b"]


def test_the_numbers_of_a_run_are_its_newest_finite_ones(tmp_path: Path) -> None:
    rows = [START, train_row(1), eval_row(1, 3.0), eval_row(2, 2.5), eval_row(3, 2.75)]
    make_run(tmp_path, "a", [*rows, train_row(4, train_loss=None, grad_norm=7.0)])
    focus = RunFollowers(tmp_path).poll(request("a")).focus
    assert focus is not None
    stats = focus.stats
    assert (stats.summary.step, stats.max_iters) == (4, 100)
    assert (stats.summary.best_val_loss, stats.summary.best_step) == (2.5, 2)
    assert (stats.summary.val_loss, stats.values["grad_norm"]) == (2.75, 7.0)
    assert (stats.diverged_at, stats.device) == (4, "cpu")


def test_a_truncated_file_is_read_again_and_logged(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", [train_row(step) for step in range(1, 9)])
    followers = RunFollowers(tmp_path)
    followers.poll(request("a"))
    run.metrics_path.write_bytes(run.metrics_path.read_bytes()[:200])
    frame = followers.poll(request("a"))
    assert frame.focus is not None
    assert len(frame.runs[0].curves[0].x) == 1
    assert frame.focus.marks == ()
    assert "truncated, replaced or removed" in frame.focus.log[-1].text


def test_a_run_whose_folder_does_not_exist_yet_is_not_reported(tmp_path: Path) -> None:
    followers = RunFollowers(tmp_path)
    assert followers.poll(request("a")).runs[0].problem == ""
    make_run(tmp_path, "a")
    assert followers.poll(request("a")).runs[0].problem == ""
    shutil.rmtree(tmp_path / "a")
    assert followers.poll(request("a")).runs[0].problem == "its folder was removed"


def test_a_removed_folder_is_reported_and_a_restored_one_is_read(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", [train_row(1)])
    followers = RunFollowers(tmp_path)
    followers.poll(request("a"))
    shutil.move(run.root, tmp_path / "elsewhere")
    assert followers.poll(request("a")).runs[0].problem == "its folder was removed"
    shutil.move(tmp_path / "elsewhere", run.root)
    back = followers.poll(request("a")).runs[0]
    assert (back.problem, len(back.curves[0].x)) == ("", 1)


def test_memory_for_a_long_run_is_bounded(tmp_path: Path) -> None:
    many = range(MAX_LOG_LINES + MAX_SAMPLES + MAX_MARKS)
    run = make_run(tmp_path, "a", [train_row(step) for step in many])
    append_rows(run, [{"event": "warning", "step": step, "message": "w"} for step in many])
    append_rows(run, [{"event": "checkpoint", "step": step, "kinds": ["last"]} for step in many])
    write_samples(run, *many)
    focus = RunFollowers(tmp_path).poll(request("a")).focus
    assert focus is not None
    assert (len(focus.log), len(focus.samples)) == (MAX_LOG_LINES, MAX_SAMPLES)
    kinds = [mark.kind for mark in focus.marks]
    assert (kinds.count("checkpoint"), kinds.count("sample")) == (MAX_MARKS, MAX_SAMPLES)
    assert focus.samples[-1].step == focus.log[-1].step == many[-1]


def test_the_numbers_of_a_users_own_sink_are_found_and_drawn(tmp_path: Path) -> None:
    own = {"event": "probe", "step": 5, "time": 1.0, "dead_units": 3.5, "note": "text"}
    rows = [START, train_row(1, my_metric=0.5), eval_row(1, 3.0), own]
    make_run(tmp_path, "a", rows)
    wanted = ViewRequest(
        ("a",), "a", find_quantity("dead_units", "probe"), beside=(find_quantity("lr"),)
    )
    frame = RunFollowers(tmp_path).poll(wanted)
    assert frame.focus is not None
    (curve,) = frame.runs[0].curves
    assert (curve.x.tolist(), curve.y.tolist()) == ([5], [3.5])
    assert [each.y.tolist() for each in frame.focus.beside[0]] == [[1e-3]]
    found = {(each.event, each.key): each.title for each in quantities_in(frame.keys)}
    assert next(iter(found)) == ("", "loss")
    assert found["train", "my_metric"] == "my metric"
    assert found["probe", "dead_units"] == "probe: dead units"
    # Counts, clocks and texts are no quantities, nor are known ones that the rows lack.
    assert not {key for _, key in found} & {"step", "time", "note", "max_iters", "bits_per_byte"}


def test_system_metrics_have_names_and_units_and_may_be_missing() -> None:
    gib = float(1 << 30)
    values = {"cpu_percent": 187.5, "others_cpu_percent": 40.0, "host_memory": 2 * gib}
    values |= {"disk_free": 38 * gib, "memory": gib, "gpu0_percent": 93.0, "gpu0_memory": 3 * gib}
    values |= {"gpu0_watts": 287.4, "gpu0_celsius": 61.0, "gpu0_odd": 1.0}
    found = quantities_in(("train", key) for key in [*values, "forward_ms"])
    order = ["gpu0_celsius", "gpu0_memory", "gpu0_odd", "gpu0_percent", "gpu0_watts"]
    assert [each.key for each in found][-6:] == [*order, "forward_ms"]
    assert {each.title: each.show(values[each.key]) for each in found if each.key in values} == {
        "CPU (%)": "187.5%",
        "CPU of others (%)": "40%",
        "host memory": "2.0 GiB",
        "free disk space": "38.0 GiB",
        "memory": "1.0 GiB",
        "GPU 0 (%)": "93%",
        "GPU 0 memory": "3.0 GiB",
        "GPU 0 power (W)": "287 W",
        "GPU 0 temperature (°C)": "61 °C",
        "gpu0 odd": "1.0000",
    }
    assert {each.key for each in found if not each.may_lack} == {"gpu0_odd", "forward_ms"}
    assert find_quantity("gpu0_watts", "train") in found


def test_titles_of_quantities_are_printable_and_every_key_names_one() -> None:
    assert find_quantity("a\x1b[2J", "probe").title == "probe: a␛[2J"
    assert find_quantity("nonsense") is QUANTITIES[0]
    assert find_quantity("", "probe") is QUANTITIES[0]
    for quantity in QUANTITIES:
        assert find_quantity(quantity.key) is quantity


def test_events_and_keys_with_dots_are_different_quantities_and_are_remembered() -> None:
    keys = [("train", "x.y"), ("train.x", "y"), ("train", "loss"), ("my.sink", "z"), ("", "loss")]
    found = quantities_in([*keys, ("train", "train_loss")])
    assert [(each.event, each.key) for each in found] == [
        ("", "loss"),
        ("train", "loss"),
        ("train", "x.y"),
        ("my.sink", "z"),
        ("train.x", "y"),
    ]
    assert len({each.id for each in found}) == len(found)
    for quantity in found:
        settings = Settings()
        remember_quantity(settings, "live", quantity)
        assert remembered_quantity(settings, "live") == quantity
    assert remembered_quantity(Settings(), "live") is LOSS


def test_a_poll_that_fails_does_not_end_the_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(body: Callable[[], None], **_: object) -> None:
        with contextlib.suppress(OSError):
            body()

    def fail(*_: object) -> None:
        raise OSError

    context = SimpleNamespace(runs_dir=Path("runs"), experiments_dir=Path("experiments"))
    app = SimpleNamespace(call_from_thread=lambda call, *given: call(*given), context=context)
    view = SimpleNamespace(is_current=True, run_worker=work, app=app)
    poller = FilePoller(cast("Any", view), lambda: request("a"), fail)
    monkeypatch.setattr(RunFollowers, "poll", fail)
    poller.poll_now()
    poller.poll_now()
    assert (poller.count, poller.is_polling, poller.frame) == (2, False, None)
    # The next one is not at once.
    poller.wake()
    poller.tick()
    assert poller.count == 2


def marks(folder: Path) -> list[tuple[str, float]]:
    focus = RunFollowers(folder).poll(request("a")).focus
    assert focus is not None
    return [(mark.kind, mark.x) for mark in focus.marks]


def test_checkpoints_the_best_one_pauses_and_samples_are_marked_at_their_steps(
    tmp_path: Path,
) -> None:
    rows = [START, *(train_row(step) for step in range(1, 9)), eval_row(4, 3.0), eval_row(8, 3.5)]
    rows += [
        {"event": "checkpoint", "step": step, "time": 1.0, "kinds": ["last"]} for step in (4, 8)
    ]
    rows += [status_row(6, "paused"), status_row(6, "running"), status_row(8, "finished")]
    run = make_run(tmp_path, "a", rows)
    write_samples(run, 3)
    expected = {("sample", 3), ("checkpoint", 4), ("checkpoint", 8), ("best", 4)}
    assert set(marks(tmp_path)) == expected | {("pause", 6), ("resume", 6)}
    # A resume takes back what came after it.
    append_rows(run, [resume_row(5), train_row(6), status_row(6, "running")])
    assert set(marks(tmp_path)) == {("sample", 3), ("checkpoint", 4), ("best", 4), ("resume", 5)}


def test_marks_stand_where_their_step_is_on_other_axes(tmp_path: Path) -> None:
    rows = [train_row(step) for step in (10, 20)]
    make_run(tmp_path, "a", [*rows, {"event": "checkpoint", "step": 15, "kinds": []}])
    places: dict[Axis, float] = {"step": 15.0, "tokens": 150.0, "time": 5.0}
    for axis, place in places.items():
        asked = replace(request("a"), x=axis)
        focus = RunFollowers(tmp_path).poll(asked).focus
        assert focus is not None
        assert [mark.x for mark in focus.marks] == [pytest.approx(place)]


def test_the_writer_of_the_run_in_focus_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", [train_row(1)])
    followers = RunFollowers(tmp_path)
    assert followers.poll(request("a")).writer is None
    write_writer(run, pid=77, host="elsewhere")
    writer = followers.poll(request("a")).writer
    assert writer is not None
    assert str(writer) == "process 77 on elsewhere"


def test_samples_superseded_by_a_resume_are_dropped(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", [train_row(9)])
    write_samples(run, 4, 8, time=1500.0)
    followers = RunFollowers(tmp_path)
    followers.poll(request("a"))
    append_rows(run, [resume_row(5)])
    with JsonlWriter(run.samples_path) as samples:
        samples.append(resume_row(5))
    # The clock was set back before the resume.
    write_samples(run, 8, text="again", time=1.0)
    focus = followers.poll(request("a")).focus
    assert focus is not None
    assert [sample.text for sample in focus.samples] == ["words 4", "again 8"]


def test_untrusted_rows_and_samples_become_printable_text(tmp_path: Path) -> None:
    huge = 10**400
    rows = [
        {"event": "warning", "step": 1, "time": huge, "message": "\x1b[2Jred\n\u202e"},
        {"event": "status", "step": 2, "status": ["?"], "error": 5},
        {"event": "checkpoint", "step": 3, "kinds": [None, "\x9b"]},
        {"event": "eval", "step": 4, "val_loss": "x", "is_best": "yes"},
    ]
    run = make_run(tmp_path, "a", rows)
    write_samples(run, 1, text="\x1b]0;title\x07[/red]")
    with JsonlWriter(run.samples_path) as samples:
        samples.append({"step": huge, "text": "no step"})
        samples.append({"step": 2, "text": None})
    focus = RunFollowers(tmp_path).poll(request("a")).focus
    assert focus is not None
    shown = "".join(line.text for line in focus.log) + "".join(each.text for each in focus.samples)
    assert len(focus.log) == 4
    assert len(focus.samples) == 1
    assert shown.isprintable() or not set(shown) & set("\x1b\x9b\x07\n\u202e")


ASKED = {"event": "request", "step": 5, "action": "pause", "sender": "laptop"}


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        (eval_row(5, 1.5, is_best=True), "evaluation", "val 1.5000 ★ best"),
        (eval_row(5, None), "evaluation", "val not a number"),
        (status_row(5, "failed", error="no space left"), "error", "failed: no space left"),
        (resume_row(5), "status", "resumed from ckpt_last_00000005.pt"),
        (ASKED | {"done": True}, "status", "pause requested from laptop: done"),
        (ASKED, "status", "pause requested from laptop: not done"),
    ],
)
def test_rows_become_log_lines(row: dict[str, object], kind: str, words: str) -> None:
    line = log_line(row)
    assert line is not None
    assert line.kind == kind
    assert words in line.text


def test_the_run_in_training_is_always_shown_beside_the_chosen_ones() -> None:
    workspace = Workspace()
    assert runs_to_show(workspace, []) == ()
    assert runs_to_show(workspace, ["new", "old"]) == ("new",)
    workspace.follow_training("trains")
    assert runs_to_show(workspace, ["new", "old"]) == ("trains",)
    workspace.move_to("old")
    assert runs_to_show(workspace, ["new", "old"]) == ("old", "trains")
    workspace.toggle_selected("new")
    workspace.toggle_baseline("trains")
    assert runs_to_show(workspace, ["new", "old"]) == ("trains", "new")
    assert workspace.slot("trains") is not None


def test_an_opened_run_is_shown_until_the_cursor_moves_on() -> None:
    workspace = Workspace(selected=["marked"])
    workspace.opened = "opened"
    assert runs_to_show(workspace, []) == ("marked", "opened")
    workspace.move_to("other")
    assert runs_to_show(workspace, []) == ("marked",)


def test_the_focus_is_the_opened_run_else_the_one_in_training_or_under_the_cursor() -> None:
    shown = ["a", "b", "c"]
    assert run_in_focus(shown, Workspace(opened="b", training="c", current="a")) == "b"
    assert run_in_focus(shown, Workspace(opened="gone", training="c", current="a")) == "c"
    assert run_in_focus(shown, Workspace(current="a")) == "a"
    assert run_in_focus(shown, Workspace()) == "c"
    assert run_in_focus([], Workspace()) is None


def test_a_run_under_the_cursor_that_is_not_among_the_selected_ones_has_no_focus() -> None:
    known = ["new", "b90", "resumed", "seed-1"]
    workspace = Workspace(selected=["b90", "resumed"], current="seed-1")
    assert focus_of(workspace, known) == "resumed"
    workspace.current = "b90"
    assert focus_of(workspace, known) == "b90"
    workspace.opened = "seed-1"
    assert focus_of(workspace, known) == "seed-1"
    assert focus_of(Workspace(training="about to start"), known) == "new"
    assert focus_of(Workspace(), []) is None


def test_the_focus_goes_with_the_queue_from_run_to_run_and_stays_on_the_last() -> None:
    workspace = Workspace(selected=["marked", "first", "second"])

    def focus() -> str | None:
        return run_in_focus(runs_to_show(workspace, []), workspace)

    seen = []
    for run_id in ("first", None, "second", None):
        workspace.follow_training(run_id)
        seen.append(focus())
    assert seen == ["first", "first", "second", "second"]
    workspace.opened = "marked"
    workspace.follow_training("third")
    assert focus() == "marked"
    workspace.opened = "third"
    workspace.follow_training("fourth")
    assert focus() == "fourth"
    assert "fourth" in runs_to_show(workspace, [])
