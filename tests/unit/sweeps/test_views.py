"""Views of a sweep as tables, CSV and JSON, and their pictures."""

import csv
import io
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.schemas import check
from builders.sweeps import trial_state
from transformer_playground.errors import UsageError
from transformer_playground.sweeps import pictures
from transformer_playground.sweeps.axes import Choices
from transformer_playground.sweeps.group_curves import GroupCurve
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.views import (
    Shown,
    SweepData,
    ViewName,
    as_json,
    best_view,
    chosen_settings,
    curves_of,
    curves_view,
    effects_view,
    heat_map_of,
    heat_map_view,
    parallel_of,
    parallel_view,
)
from transformer_playground.tables import csv_text, table_lines

NORM, LAYERS, WIDTH = "model.norm", "model.n_layer", "model.n_embd"
AXES = (Choices(NORM, ("rmsnorm", "layernorm")), Choices(LAYERS, (1, 2)), Choices(WIDTH, (8, 16)))
CURVES = [
    GroupCurve("a <&", np.array([0.0, 2.0]), np.array([4.0, 3.0]), np.array([0.1, 0.2]), 2),
    GroupCurve("b", np.array([0.0]), np.array([4.0]), np.array([np.nan]), 1),
]


def data(axes: tuple[Choices, ...] = AXES, seeds: tuple[int, ...] = (1, 2)) -> SweepData:
    """A grid in which layers matter most and the width not at all."""
    states = [
        trial_state(
            {NORM: norm, LAYERS: layers, WIDTH: width},
            seed,
            2.0
            + 0.1 * (norm == "layernorm")
            + 0.5 * (layers == 1)
            + 0.01 * seed
            + 1e-4 * (width == 16),
        )
        for norm in ("rmsnorm", "layernorm")
        for layers in (1, 2)
        for width in (8, 16)
        for seed in seeds
    ]
    return SweepData(Sweep("s", "tiny", axes, seeds), states, Path("runs"))


def rows(shown: Shown) -> list[dict[str, str]]:
    """The CSV of a view, read back."""
    return list(csv.DictReader(io.StringIO(csv_text(shown.header, shown.rows))))


def lines(shown: Shown) -> list[str]:
    """Its first table."""
    return table_lines(shown.tables[0])


def test_the_best_combinations_come_with_the_runs_that_support_them() -> None:
    shown = best_view(data())

    assert len(shown.rows) == 8
    first = rows(shown)[0]
    assert (first[NORM], first[LAYERS], first["runs"]) == ("rmsnorm", "2", "2")
    assert float(first["val_loss"]) == pytest.approx(2.015)


def test_effects_name_their_test() -> None:
    first, second, *_ = rows(effects_view(data()))

    assert (first["setting"], first["value"], first["difference"]) == (LAYERS, "2", "")
    assert float(second["difference"]) == pytest.approx(0.5)
    assert second["test"] == "paired"


def test_a_heat_map_marks_its_best_cell_and_says_what_it_averages_over() -> None:
    shown = heat_map_view(data(), heat_map_of(data(), None, None))

    assert "over all other settings" in shown.title
    assert re.search(r"rmsnorm +░ 2\.515\d +█ 2\.015\d ★", "\n".join(lines(shown)))
    assert {row["standard_error"] for row in rows(shown)} == {""}


def test_settings_of_a_heat_map_are_those_that_matter_unless_they_are_named() -> None:
    assert chosen_settings(data(), None, None) == (NORM, LAYERS)
    assert chosen_settings(data(), "norm", None) == (LAYERS, NORM)
    assert chosen_settings(data(), "n_embd", "norm") == (NORM, WIDTH)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [("norm", "norm", "both model.norm"), ("dropout", None, "dropout does not vary")],
)
def test_settings_that_make_no_heat_map_are_refused(x: str, y: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen_settings(data(), x, y)
    with pytest.raises(UsageError, match="needs two settings"):
        chosen_settings(data(AXES[:1]), None, None)


def test_parallel_coordinates_show_the_place_of_each_run_best_first() -> None:
    shown = parallel_view(data(), *parallel_of(data()))

    assert len(shown.rows) == 16
    assert re.match(r"●─{10} +rmsnorm +─{10}● 2 ", lines(shown)[1])
    assert rows(shown)[0]["run_id"] == "s-rmsnorm-2-8-1"


def test_curves_show_where_a_group_has_ended() -> None:
    shown = curves_view(CURVES)

    assert re.search(r"a <& +\S+ +4\.0000 ± 0\.1 +3\.0000 ± 0\.2 +2", "\n".join(lines(shown)))
    assert re.search(r"b +█ +4\.0000 +1$", lines(shown)[2])
    assert [row["standard_error"] for row in rows(shown)] == ["0.1", "0.2", ""]
    with pytest.raises(UsageError, match="dropout does not vary"):
        curves_of(data(), "dropout")


def test_a_narrow_terminal_shows_the_last_step_of_curves_whole() -> None:
    header, first, _ = table_lines(curves_view(CURVES).tables[0], 36)

    assert "step 0" not in header
    assert re.search(r"a <& +\S+ +3\.0000 ± 0\.2 +2$", first)


@pytest.mark.parametrize("has_runs", [True, False])
def test_each_view_has_the_documented_json(has_runs: bool) -> None:
    found = data() if has_runs else data(seeds=())
    made: dict[ViewName, Shown] = {
        "best": best_view(found),
        "effects": effects_view(found),
        "heatmap": heat_map_view(found, heat_map_of(found, None, None)),
        "parallel": parallel_view(found, *parallel_of(found)),
        "curves": curves_view(CURVES if has_runs else []),
    }
    for view, shown in made.items():
        check("sweep-view", as_json(found, view, shown))
        assert bool(shown.rows) is (has_runs or view == "heatmap")


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("draw_best", data().combinations, ["rmsnorm n_layer=2 n_embd=8"]),
        ("draw_effects", data().effects, [LAYERS, "layernorm"]),
        ("draw_heat_map", heat_map_of(data(), None, None), ["★ 2.0151", "layernorm"]),
        ("draw_parallel", parallel_of(data()), ["tokens/s", "rmsnorm", 'id="line-16"']),
        ("draw_curves", CURVES, ["a &lt;&amp;", 'id="band-1"', 'id="mean-2"']),
    ],
)
def test_pictures_are_the_same_each_time_and_name_what_they_show(
    name: str, content: Any, texts: list[str]
) -> None:
    first, second = BytesIO(), BytesIO()
    for file in (first, second):
        getattr(pictures, name)(file, "svg", "s: $a_b$", content)

    drawn = first.getvalue().decode()
    assert drawn == second.getvalue().decode()
    for text in (*texts, "s: $a_b$"):
        assert text in drawn
    assert "band-2" not in drawn
