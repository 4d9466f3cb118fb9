"""Contrast of what is drawn, in every theme: curves, grid, borders and symbols."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.color import Color
from textual.filter import Monochrome
from textual.pilot import Pilot
from textual.theme import BUILTIN_THEMES, Theme

from builders.commands import Project, make_project
from builders.contrast import drawn, ratio, too_faint
from builders.runs import eval_row, make_run, status_row, train_row
from builders.tui import shown, until, with_console
from transformer_playground.sweeps.create import NewSweep
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.spec import save_sweep
from transformer_playground.sweeps.trials import plan
from transformer_playground.tui.app import Console
from transformer_playground.tui.contrast import (
    MIN_CONTRAST,
    MIN_TEXT_CONTRAST,
    contrast,
    dimmed,
    readable,
    readable_variables,
)
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.model.view import ModelView
from transformer_playground.tui.runs.column_picker import ColumnsScreen
from transformer_playground.tui.shared.view import VIEWS
from transformer_playground.tui.sweep.view import SweepView
from transformer_playground.tui.themes import PLAIN, SERIES, THEMES

NAMES = [*(theme.name for theme in THEMES), *BUILTIN_THEMES]
# The terminal chooses the colours of these.
ANSI = [name for name in NAMES if name.startswith("ansi")]
OWN = [theme.name for theme in THEMES]
ROWS = [
    status_row(0, "running", max_iters=100, device="cpu", dtype="float32"),
    *(train_row(step, train_loss=4 - step / 50) for step in range(1, 80)),
    eval_row(0, 4.25),
    eval_row(40, 3.5),
]
BORDERS = "╭╮╰╯│─"
colours = st.tuples(*[st.integers(0, 255)] * 3).map(lambda parts: Color(*parts))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    project = make_project(tmp_path / "project")
    for name in ("one", "two"):
        make_run(project.root / "runs", name, ROWS, experiment="tiny")
    return project


def test_the_contrast_ratio_is_that_of_wcag() -> None:
    assert contrast(Color(0, 0, 0), Color(255, 255, 255)) == pytest.approx(21)
    assert contrast(Color(119, 119, 119), Color(255, 255, 255)) == pytest.approx(4.48, abs=0.01)
    assert contrast(Color(17, 21, 26), Color(29, 51, 65)) == pytest.approx(1.4, abs=0.02)


@settings(max_examples=200)
@given(colours, colours)
def test_any_colour_becomes_readable_and_a_readable_one_is_kept(
    colour: Color, background: Color
) -> None:
    found = readable(colour, background)
    assert contrast(found, background) >= MIN_CONTRAST
    if contrast(colour, background) >= MIN_CONTRAST:
        assert found == colour


@settings(max_examples=200)
@given(colours, colours, st.floats(0, 1))
def test_a_dimmed_colour_can_still_be_told_from_its_background(
    colour: Color, background: Color, share: float
) -> None:
    assert contrast(dimmed(colour, background, share), background) >= MIN_CONTRAST


def is_braille(text: str) -> bool:
    return all("\u2800" <= char <= "\u28ff" or char == " " for char in text)


def is_text(text: str) -> bool:
    return any(char.isalnum() for char in text)


@pytest.mark.parametrize(
    ("view", "selected"),
    [("2", ("one",)), ("2", ("one", "two")), ("5", ("one", "two"))],
    ids=["Live, one run", "Live, two runs", "Grid"],
)
def test_curves_grid_borders_symbols_and_texts_can_be_seen_in_every_theme(
    project: Project, view: str, selected: tuple[str, ...]
) -> None:
    glyphs = "".join(series.glyph for series in (*SERIES, PLAIN))

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) == 2)
        console.context.workspace.selected = list(selected)
        await pilot.press(view)
        await until(pilot, lambda: any(is_braille(text) for text, _ in drawn(console)))
        for name in NAMES:
            console.theme = name
            await pilot.pause()
            parts = [
                (text, segment)
                for text, segment in drawn(console)
                if is_braille(text) or not set(text.strip()) - set(BORDERS + glyphs + "┈┤┬└╌┊")
            ]
            assert any(is_braille(text) for text, _ in parts)
            if name in ANSI:
                continue
            grey = Monochrome()
            for text, segment in parts:
                assert ratio(segment) >= MIN_CONTRAST, (name, text)
            for text, segment in drawn(console) if name in OWN else ():
                if is_text(text) and segment.style and not segment.style.reverse:
                    assert ratio(segment) >= MIN_TEXT_CONTRAST, (name, text)
            plain = grey.apply([segment for _, segment in parts], Color.parse("black"))
            # Without colours (NO_COLOR) shades of grey have to do.
            assert min(map(ratio, plain)) >= MIN_CONTRAST - 0.5, name

    with_console(project, steps, (140, 45))


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_muted_text_is_fainter_than_other_text_and_can_be_read_in_the_row_of_the_cursor(
    theme: Theme,
) -> None:
    found = readable_variables(theme.to_color_system().generate())
    text, muted, *behind = (
        Color.parse(found[name])
        for name in ("foreground", "text-muted", "background", "surface", "panel", "cursor")
    )
    for background in behind:
        assert contrast(muted, background) >= MIN_TEXT_CONTRAST
        assert contrast(text, background) > 1.2 * contrast(muted, background)
    # The row is seen, and differs from that of a list without the focus.
    assert contrast(behind[0], behind[3]) > contrast(behind[0], behind[2]) > 1.1


def has_read(console: Console) -> bool:
    """Whether the Model view shows all that it can."""
    view = console.screen
    return isinstance(view, ModelView) and view.shown is not None and view.shown.is_complete


def has_chosen(view: SweepView, sweep_id: str) -> bool:
    return view.picture.reading.chosen == sweep_id


def sweep(project: Project) -> int:
    """A sweep with finished, running, failed and waiting runs, and one that cannot be read.

    Returns:
        Its number of runs that exist.
    """
    values = ("norm=rmsnorm,layernorm", "learning_rate=1e-3,1e-2,1e-1")
    found = NewSweep("tiny", values, name="pe").create(project.root / "experiments", print)
    save_sweep(project.root / "sweeps", found)
    ends = [[eval_row(5, 2.5), status_row(20, "finished")], [eval_row(5, 3.5)] * 2]
    ends += [[eval_row(5, 3.0), status_row(20, "finished")], [status_row(20, "failed")]]
    for trial, end in zip(plan(found), ends, strict=False):
        rows = [status_row(0, "running"), *end]
        make_run(project.root / "runs", trial.run_id, rows, experiment="tiny")
    broken = SweepFolder(project.root / "sweeps" / "broken")
    broken.root.mkdir()
    broken.spec_path.write_text("method = 'x'")
    return len(ends)


def test_every_text_can_be_read_and_every_line_seen_in_the_own_themes(project: Project) -> None:
    found: list[tuple[str, str, str, float]] = []
    runs = 2 + sweep(project)

    def look(console: Console, where: str) -> None:
        dialogs = console.screen.query(".dialog")
        region = dialogs.first().region if dialogs else None
        found.extend((console.theme, where, *each) for each in too_faint(console, region))

    async def look_at_sweeps(view: SweepView, console: Console, pilot: Pilot[Any]) -> None:
        for sweep_id in ("broken", "pe"):
            await until(pilot, lambda: view.picture.reading.rows)
            view.set_focus(view.sweeps)
            view.sweeps.highlighted = view.sweeps.get_option_index(sweep_id)
            await until(pilot, partial(has_chosen, view, sweep_id))
            look(console, view.NAME)
        view.set_focus(view.table)
        await pilot.pause()

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) == runs)
        console.context.workspace.selected = ["one", "two"]
        console.context.workspace.sweep = "pe"
        for name in OWN:
            console.theme = name
            for number, view, _ in VIEWS:
                await pilot.press(number)
                await pilot.pause()
                assert console.current_mode == view
                if isinstance(console.screen, ModelView):
                    await until(pilot, lambda: has_read(console))
                if isinstance(console.screen, SweepView):
                    await look_at_sweeps(console.screen, console, pilot)
                look(console, view)
            await pilot.press("1", "v")
            look(console, "Settings of a run")
            await pilot.press("n")
            await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
            await until(pilot, lambda: "run id" in shown(console))
            look(console, "Launch")
            await pilot.press("escape", "c")
            await until(pilot, lambda: isinstance(console.screen, ColumnsScreen))
            look(console, "Columns")
            await pilot.press("escape")

    with_console(project, steps, (140, 45))
    assert not found, "\n".join(map(str, found))
