"""Plots of losses: what is drawn where, under which words, and what is refused."""

import math
import threading
from pathlib import Path
from typing import Any

import pytest

from builders.runs import append_rows, eval_row, make_run, resume_row, status_row, train_row
from builders.svg_plots import SvgPlot, is_linear, read_svg
from transformer_playground.errors import RunError, UsageError
from transformer_playground.plots.loss_curves import PlotRequest, PlottedNGram
from transformer_playground.plots.loss_plot import plot_loss
from transformer_playground.runs.folder import RunFolder

STEPS = range(10, 110, 10)
VAL = {20: 3.5, 40: 2.5, 60: 2.0, 80: 2.25, 100: 3.0}
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
XML_HOSTILE = "a <b> & \"c\" 'd' ]]> <!-- x -->"


def losses(offset: float = 0.0) -> list[dict[str, Any]]:
    rows = [train_row(step, train_loss=offset + 4 - step / 50) for step in STEPS]
    return rows + [eval_row(step, offset + loss) for step, loss in VAL.items()]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(tmp_path / "runs", "tiny-1", losses())


def drawn(tmp_path: Path, *runs: RunFolder, **request: Any) -> SvgPlot:
    out = tmp_path / "plot.svg"
    plot_loss(runs, PlotRequest(out, **request))
    return read_svg(out)


def test_both_curves_and_the_best_point_lie_where_the_rows_say(
    tmp_path: Path, run: RunFolder
) -> None:
    plot = drawn(tmp_path, run)

    train, val = plot.vertices("train-1"), plot.vertices("val-1")
    assert len(val) == len(VAL)
    assert is_linear([x for x, _ in val], list(VAL))
    assert is_linear([y for _, y in train + val], [4 - s / 50 for s in STEPS] + [*VAL.values()])
    assert is_linear([x for x, _ in train], list(STEPS))
    assert plot.marks("best-1") == [pytest.approx(val[2], abs=0.01)]
    assert val[2][1] == max(y for _, y in val)


def test_the_loss_of_n_grams_is_a_level_line_with_its_name(tmp_path: Path, run: RunFolder) -> None:
    plot = drawn(tmp_path, run, ngram=PlottedNGram(5, 2.5))
    heights = {y for _, y in plot.vertices("ngram")}
    assert len(heights) == 1
    # The second evaluation has the same loss.
    assert plot.vertices("val-1")[1][1] == pytest.approx(heights.pop(), abs=0.01)
    assert "5-gram 2.5000" in plot.texts
    assert "ngram" not in drawn(tmp_path, run).names


def test_words_name_the_run_the_axes_the_curves_and_the_best_value(
    tmp_path: Path, run: RunFolder
) -> None:
    plot = drawn(tmp_path, run)

    assert {
        "tiny-1",
        "step",
        "loss (nats per token)",
        "training",
        "validation",
        "best validation",
        "best 2.0000 at step 60",
    } <= set(plot.texts)


@pytest.mark.parametrize(
    ("x", "label", "best"),
    [
        ("tokens", "tokens seen", "best 2.0000 at 600 tokens"),
        ("time", "training time (s)", "best 2.0000 after 1m 00s"),
    ],
)
def test_the_horizontal_axis_is_the_one_asked_for(
    x: Any, label: str, best: str, tmp_path: Path
) -> None:
    rows = [status_row(0, "running"), *losses()]
    plot = drawn(tmp_path, make_run(tmp_path / "runs", rows=rows), x=x)

    assert {label, best} <= set(plot.texts)


@pytest.mark.parametrize(
    ("seconds_a_step", "label"), [(60, "training time (min)"), (3600, "training time (h)")]
)
def test_time_has_the_unit_that_fits(seconds_a_step: int, label: str, tmp_path: Path) -> None:
    rows = [train_row(step, time=step * seconds_a_step) for step in STEPS]

    assert label in drawn(tmp_path, make_run(tmp_path / "runs", rows=rows), x="time").texts


def test_a_pause_between_a_stop_and_a_resume_takes_no_room(tmp_path: Path) -> None:
    rows = [status_row(0, "running"), *(train_row(step) for step in range(1, 51))]
    rows += [resume_row(50, time=90_000.0)]
    rows += [train_row(step, time=90_000.0 + step - 50) for step in range(51, 101)]

    plot = drawn(tmp_path, make_run(tmp_path / "runs", rows=rows), x="time")

    places = [x for x, _ in plot.vertices("train-1")]
    assert is_linear(places, list(range(1, 101)))


def test_rows_that_a_resume_superseded_are_not_drawn(tmp_path: Path) -> None:
    rows = [*losses(), resume_row(20), train_row(30, train_loss=1.0)]

    plot = drawn(tmp_path, make_run(tmp_path / "runs", rows=rows))

    assert len(plot.vertices("train-1")) == 3
    assert "best 3.5000 at step 20" in plot.texts


def test_a_logarithmic_axis_shows_ratios_as_distances(tmp_path: Path, run: RunFolder) -> None:
    plot = drawn(tmp_path, run, log_y=True)

    heights = [y for _, y in plot.vertices("val-1")]
    assert is_linear(heights, [math.log(loss) for loss in VAL.values()])
    assert "loss (nats per token, log scale)" in plot.texts


def test_a_loss_of_zero_is_a_gap_on_a_logarithmic_axis_only(tmp_path: Path) -> None:
    rows = [train_row(1, train_loss=1.0), train_row(2, train_loss=0.0), train_row(3)]
    run = make_run(tmp_path / "runs", rows=rows)

    assert "breaks-1" in drawn(tmp_path, run, log_y=True).names
    assert "breaks-1" not in drawn(tmp_path, run).names


def test_smoothing_lays_the_average_over_the_measured_curve(tmp_path: Path, run: RunFolder) -> None:
    plain, smooth = drawn(tmp_path, run), drawn(tmp_path, run, smooth=0.5)

    assert plain.names == {"train-1", "val-1", "best-1"}
    assert smooth.names == {*plain.names, "train-1-smoothed"}
    assert "training (smoothed 0.5)" in smooth.texts
    measured, average = smooth.vertices("train-1"), smooth.vertices("train-1-smoothed")
    assert average[0] == measured[0]
    # A falling curve's average lies above it: nearer to the top of the plot.
    assert all(high[1] < low[1] for high, low in zip(average[1:], measured[1:], strict=True))
    assert smooth.vertices("val-1") == plain.vertices("val-1")


def test_the_average_is_taken_before_the_curve_is_thinned(tmp_path: Path) -> None:
    # Spikes stay when points are thinned: an average over those that stay would be theirs.
    rows = [train_row(step, train_loss=9.0 if step % 100 == 0 else 1.0) for step in range(8000)]
    plot = drawn(tmp_path, make_run(tmp_path / "runs", rows=rows), smooth=0.99)

    measured = [y for _, y in plot.vertices("train-1")]
    average = [y for _, y in plot.vertices("train-1-smoothed")][-100:]
    top, bottom = min(measured), max(measured)
    assert all(0.003 < (bottom - y) / (bottom - top) < 0.03 for y in average)
    assert len(measured) <= 1600


def test_several_runs_have_colours_and_symbols_of_their_own(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "runs", name, losses(k)) for k, name in enumerate("abc")]

    plot = drawn(tmp_path, *runs)

    assert plot.names == {f"{kind}-{k}" for kind in ("train", "val", "best") for k in (1, 2, 3)}
    assert {"Loss of 3 runs", "a  2.0000", "b  3.0000", "c  4.0000"} <= set(plot.texts)
    assert "best 2.0000 at step 60 (a)" in plot.texts
    styles = [[each.get("style", "") for each in plot.group(f"val-{k}").iter()] for k in (1, 2, 3)]
    for own, colour in zip(styles, (BLUE, VERMILION, GREEN), strict=True):
        assert any(f"stroke: {colour}" in style for style in own)
    assert len({plot.symbol(f"val-{k}") for k in (1, 2, 3)}) == 3


def test_the_legend_of_very_many_runs_says_how_many_it_leaves_out(tmp_path: Path) -> None:
    names = [f"run-with-a-rather-long-name-number-{k:02d}" for k in range(15)]
    runs = [make_run(tmp_path / "runs", name, losses(k)) for k, name in enumerate(names)]

    texts = drawn(tmp_path, *runs).texts

    assert "and 3 more" in texts
    assert "run-with-a-r…ame-number-11  13.0000" in texts
    assert "val-15" in drawn(tmp_path, *runs).names


def test_runs_without_a_finite_loss_are_left_out_and_named(tmp_path: Path, run: RunFolder) -> None:
    empty = make_run(tmp_path / "runs", "empty", [status_row(0, "running")])

    result = plot_loss([empty, run], PlotRequest(tmp_path / "plot.svg"))

    assert result.skipped == ("empty",)
    assert [curves.run_id for curves in result.shown] == ["tiny-1"]


@pytest.mark.parametrize("rows", [[], [train_row(1, train_loss=None), eval_row(1, None)]])
def test_a_run_that_has_nothing_to_show_is_refused(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="'tiny-1' has no finite loss"):
        drawn(tmp_path, make_run(tmp_path / "runs", rows=rows))
    assert not (tmp_path / "plot.svg").exists()


def test_losses_whose_place_on_the_axis_is_unknown_are_not_called_infinite(
    tmp_path: Path,
) -> None:
    row = train_row(1)
    del row["time"]
    old = make_run(tmp_path / "runs", rows=[row])

    with pytest.raises(RunError, match=r"'tiny-1' do not record the time of any loss\..*--x step"):
        drawn(tmp_path, old, x="time")
    drawn(tmp_path, old)


@pytest.mark.parametrize(
    ("rows", "there", "absent"),
    [([train_row(1)], "training", "validation"), ([eval_row(1, 2.0)], "validation", "training")],
)
def test_the_legend_names_only_what_is_there(
    rows: list[dict[str, Any]], there: str, absent: str, tmp_path: Path
) -> None:
    texts = drawn(tmp_path, make_run(tmp_path / "runs", rows=rows)).texts

    assert there in texts
    assert absent not in texts


def test_a_torn_file_shows_its_whole_rows(tmp_path: Path, run: RunFolder) -> None:
    with run.metrics_path.open("ab") as metrics:
        metrics.write(b'{"event": "train", "step": 110, "train_l')

    assert len(drawn(tmp_path, run).vertices("train-1")) == len(STEPS)


def test_a_cross_stands_at_the_last_finite_point_before_each_gap(tmp_path: Path) -> None:
    rows = [train_row(step, train_loss=None if step in (3, 4, 8) else 2.0) for step in range(1, 9)]
    plot = drawn(tmp_path, make_run(tmp_path / "runs", rows=rows))

    curve = plot.vertices("train-1")
    assert [x for x, _ in plot.marks("breaks-1")] == pytest.approx(
        [curve[1][0], curve[-1][0]], abs=0.01
    )
    assert math.isnan(curve[2][0])
    assert "curve ends: loss not finite, or run failed" in plot.texts


def test_a_run_that_failed_ends_in_a_cross(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", rows=[*losses(), status_row(107, "failed", error="boom")])
    plot = drawn(tmp_path, run)

    assert plot.marks("breaks-1") == [pytest.approx(plot.vertices("train-1")[-1], abs=0.01)]
    append_rows(run, [resume_row(100), status_row(100, "running")])
    assert "breaks-1" not in drawn(tmp_path, run).names


def test_a_point_between_two_gaps_is_visible(tmp_path: Path) -> None:
    rows = [train_row(step, train_loss=2.0 if step % 2 else None) for step in range(1, 10)]
    plot = drawn(tmp_path, make_run(tmp_path / "runs", rows=rows))

    assert len(plot.marks("train-1-points")) == 5


def test_losses_that_no_axis_can_show_are_gaps(tmp_path: Path) -> None:
    rows = [*losses(), train_row(110, train_loss=1e300), eval_row(110, -1e200)]
    plot = drawn(tmp_path, make_run(tmp_path / "runs", rows=rows))

    assert len(plot.marks("breaks-1")) == 2
    assert "best 2.0000 at step 60" in plot.texts


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        (XML_HOSTILE, XML_HOSTILE),
        ("$x^2$ \\frac{", "$x^2$ \\frac{"),
        ("\x1b[31mred\x00\x7f\x9b", "␛[31mred␀␡\\x9b"),
        ("two\nlines\there", "two␊lines␉here"),
        ("\ud800 and \ufffe", "\\ud800 and \ufffd"),
        ("\u202eabc", "\\u202eabc"),
        ("שלום مرحبا 日本語 😀", "שלום مرحبا 日本語 😀"),
        ("x" * 10_000, "x" * 71 + "…"),
        ("日本" * 5_000, "日本" * 17 + "日…"),
        ("_hidden [/red] %d {0}", "_hidden [/red] %d {0}"),
        ("a" + "\u0301" * 10_000, "a" + "\u0301" * 4),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_any_title_is_shown_harmlessly(
    title: str, shown: str, tmp_path: Path, run: RunFolder
) -> None:
    assert shown in drawn(tmp_path, run, title=title).texts
    plot_loss([run], PlotRequest(tmp_path / "plot.png", title=title))


def test_an_empty_title_is_none(tmp_path: Path, run: RunFolder) -> None:
    assert "tiny-1" not in drawn(tmp_path, run, title="").texts


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, run: RunFolder) -> None:
    drawn(tmp_path, run, smooth=0.5)
    first = (tmp_path / "plot.svg").read_bytes()
    drawn(tmp_path, run, smooth=0.5)

    assert (tmp_path / "plot.svg").read_bytes() == first


def test_threads_draw_what_one_thread_draws(tmp_path: Path, run: RunFolder) -> None:
    outs = [tmp_path / f"{number}.svg" for number in range(4)]
    threads = [
        threading.Thread(target=plot_loss, args=([run], PlotRequest(out, log_y=True)))
        for out in outs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({out.read_bytes() for out in outs}) == 1


def test_the_users_own_settings_of_the_library_stay_and_change_nothing(
    tmp_path: Path, run: RunFolder
) -> None:
    import matplotlib as mpl

    drawn(tmp_path, run)
    plain = (tmp_path / "plot.svg").read_bytes()
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30, "svg.fonttype": "path"}):
        drawn(tmp_path, run)
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "plot.svg").read_bytes() == plain


@pytest.mark.parametrize("name", ["plot.png", "plot.PNG"])
def test_a_png_is_written_if_the_name_says_so(name: str, tmp_path: Path, run: RunFolder) -> None:
    result = plot_loss([run], PlotRequest(tmp_path / "new" / name))

    assert result.format == "png"
    content = result.path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20], "big") == 1600


@pytest.mark.parametrize("name", ["plot.pdf", "plot", "svg", ".svg", "plot.svg.gz"])
def test_another_ending_is_refused_with_the_ones_there_are(
    name: str, tmp_path: Path, run: RunFolder
) -> None:
    with pytest.raises(UsageError, match=r"\.svg or \.png"):
        plot_loss([run], PlotRequest(tmp_path / name))


def test_a_folder_is_no_place_for_a_picture(tmp_path: Path, run: RunFolder) -> None:
    (tmp_path / "plot.svg").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        drawn(tmp_path, run)


def test_a_disk_that_refuses_leaves_the_old_picture(tmp_path: Path, run: RunFolder) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="could not be written"):
        plot_loss([run], PlotRequest(tmp_path / "file" / "plot.svg"))
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("smooth", [-0.1, 1.0, math.nan])
def test_a_weight_that_is_no_share_is_refused(
    smooth: float, tmp_path: Path, run: RunFolder
) -> None:
    with pytest.raises(UsageError, match="smooth"):
        drawn(tmp_path, run, smooth=smooth)
