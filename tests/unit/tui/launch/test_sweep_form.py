"""A launch as a sweep: fields, checks and costs."""

from pathlib import Path

import pytest

from builders.commands import Project, make_project
from transformer_playground.errors import UsageError
from transformer_playground.sweeps.axes import Choices, Range
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.spec import load_sweep
from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.sweep_form_state import (
    CheckedSweep,
    SweepFields,
    asked_sweep,
    check_sweep,
    write_sweep,
)

LISTED = Launch("tiny", ("model.norm=rmsnorm, layernorm", "model.dropout=0..0.2:3"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the experiment `tiny`."""
    return make_project(tmp_path / "project")


def check(project: Project, launch: Launch, *fields: str) -> CheckedSweep:
    """Check a sweep; `fields` are name, seeds, method and combinations."""
    root = project.root
    return check_sweep(
        root / "experiments", root / "runs", root / "sweeps", launch, SweepFields(*fields)
    )


def test_lists_and_ranges_vary_and_single_values_are_for_all_runs(project: Project) -> None:
    launch = Launch("tiny", (*LISTED.overrides, "train.runtime.max_iters=7"))

    found = check(project, launch, "s", "2")

    assert found.problem == ""
    assert found.planned is not None
    sweep = found.planned.sweep
    assert [type(axis) for axis in sweep.axes] == [Choices, Range]
    assert sweep.settings == ("train.runtime.max_iters=7",)
    assert sweep.seeds == (1337, 1338)
    first, second = found.planned.lines()
    assert first == "s: 12 runs = 2 norm × 3 dropout × 2 seeds"
    assert second == "time: not known, there is no earlier run on this machine"


def test_what_is_written_is_what_was_checked(project: Project) -> None:
    found = check(project, LISTED, "s")
    assert found.planned is not None

    assert write_sweep(project.root / "sweeps", found.planned) == ""

    assert load_sweep(SweepFolder(project.root / "sweeps" / "s")) == found.planned.sweep
    assert "already a sweep" in write_sweep(project.root / "sweeps", found.planned)
    assert "There is already a sweep 's'" in check(project, LISTED, "s").problem


def test_listed_seeds_are_those_of_the_sweep(project: Project) -> None:
    launch = Launch("tiny", ("train.runtime.seed=5, 8, 9", "model.norm=rmsnorm"))

    found = check(project, launch)

    assert found.planned is not None
    assert found.planned.sweep.seeds == (5, 8, 9)
    assert found.planned.sweep.axes == ()
    assert "seeds are those" in check(project, launch, "", "3").problem


def test_a_text_with_commas_is_one_value(project: Project) -> None:
    launch = Launch("tiny", ("sample.sample.start=Hello, world", "model.norm=rmsnorm,layernorm"))

    found = check(project, launch)

    assert found.planned is not None
    assert found.planned.sweep.settings == ('sample.sample.start="Hello, world"',)


def test_a_search_needs_no_number_of_values(project: Project) -> None:
    launch = Launch("tiny", ("train.optim.learning_rate=1e-4..1e-2:log",))

    assert check(project, launch, "", "", "tpe", "4").problem == ""
    assert check(project, launch, "", "", "random", "4").problem == ""
    assert "has no number of values" in check(project, launch).problem


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (("bad name",), "not a name of a sweep"),
        (("", "many"), "seeds: 'many' is no number"),
        (("", "0"), "seeds: '0' is no number"),
        (("", "9" * 5_000), "is no number"),
        (("", "", "bayes"), "'bayes' is no method"),
        (("", "", "random"), "random needs combinations"),
        (("", "", "", "3"), "combinations has no effect on a grid"),
    ],
)
def test_a_field_that_is_not_valid_is_said(
    project: Project, fields: tuple[str, ...], why: str
) -> None:
    found = check(project, LISTED, *fields)

    assert why in found.problem
    assert "--" not in found.problem.partition("\n")[0]
    assert found.planned is None


def test_settings_that_make_no_sweep_are_said(project: Project) -> None:
    assert "Nothing varies" in check(project, Launch("tiny")).problem
    impossible = Launch("tiny", ("model.n_head=2,3",))
    assert "With model.n_head=3:" in check(project, impossible).problem
    with pytest.raises(UsageError, match="no sweep"):
        asked_sweep(Launch("tiny", resume="x"), SweepFields())
    seeds = Launch("tiny", ("train.runtime.seed=one, two",))
    assert "are no seeds" in check(project, seeds).problem
