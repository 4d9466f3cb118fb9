"""Verdicts and leaderboards of runs with chosen losses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.comparisons import finished_run
from builders.runs import run_info
from transformer_playground.comparison.columns import Delta
from transformer_playground.comparison.compare import (
    Comparison,
    compare_runs,
    read_runs,
    seed_groups,
)
from transformer_playground.comparison.compared_run import ComparedRun
from transformer_playground.comparison.leaderboard import (
    leaderboard,
    name_by_settings,
    sentence,
    sign_of,
)
from transformer_playground.comparison.windows import needs_windows
from transformer_playground.runs.fields import Parent
from transformer_playground.runs.naming import name_runs
from transformer_playground.runs.window_losses import WindowLosses


def runs_of(tmp_path: Path, *losses: tuple[str, float, int], **fields: Any) -> list[ComparedRun]:
    """Runs named `name-sSEED`: those of one name have the same settings."""
    return read_runs(
        [
            finished_run(tmp_path, f"{name}-s{seed}", loss, seed=seed, model={"norm": name})
            for name, loss, seed in losses
        ]
    )


def with_losses(run: ComparedRun, per_token: list[float], dataset: str = "d") -> ComparedRun:
    targets = np.full(len(per_token), 8)
    return replace(run, windows=WindowLosses(np.array(per_token) * 8, targets, dataset, run.run_id))


def seeds(name: str, *losses: float) -> list[tuple[str, float, int]]:
    return [(name, loss, seed) for seed, loss in enumerate(losses, start=1)]


def test_seeds_far_apart_have_a_winner_and_its_p_value(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, *seeds("plain", 2.1, 2.11, 2.09), *seeds("rope", 1.9, 1.91, 1.89))
    found = compare_runs(runs)
    assert found.verdict.conclusion == "better"
    assert sentence(found) == (
        "rope-{s1,s2,s3} (3 seeds) is best: val loss 1.9000, 0.2000 (9.5%) below "
        "plain-{s1,s2,s3} (3 seeds); Welch's t-test over 3 and 3 seeds, p < 0.001."
    )


def test_a_branch_is_said_to_share_the_training_of_its_parent(tmp_path: Path) -> None:
    parent, branch, other = runs_of(tmp_path, ("a", 2.0, 1), ("b", 1.9, 1), ("c", 2.1, 1))
    branch = replace(branch, parent=Parent(parent.run_id, 300))
    other = replace(other, parent=Parent("not-compared"))
    notes = [note for note in compare_runs([parent, branch, other]).notes if "continues" in note]
    assert notes == [
        "b-s1 continues a-s1 from step 300: they share the training before, "
        "so they are not independent runs."
    ]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (("resumed", "seed-2", "alpha"), "resumed and 2 more (3 seeds) is best"),
        (("rope-s1", "rope-s2", "rope-s3"), "rope-{s1,s2,s3} (3 seeds) is best"),
    ],
)
def test_a_group_of_names_without_a_common_beginning_is_called_by_the_first(
    tmp_path: Path, ids: tuple[str, ...], expected: str
) -> None:
    folders = [
        finished_run(tmp_path, name, 1.9 + seed / 100, seed=seed, model={"norm": "rmsnorm"})
        for seed, name in enumerate(ids, start=1)
    ]
    folders += [
        finished_run(tmp_path, f"other-{seed}", 2.9 + seed / 100, seed=seed) for seed in (1, 2, 3)
    ]
    found = compare_runs(read_runs(folders))
    names = name_runs([run_info(run.run_id) for run in found.runs])
    assert sentence(found, name_by_settings(found, names)).startswith(expected)


def test_seeds_that_overlap_are_not_distinguishable(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, *seeds("plain", 2.1, 1.9, 2.0), *seeds("rope", 1.95, 2.05, 1.97))
    found = compare_runs(runs)
    assert found.verdict.conclusion == "not_distinguishable"
    assert "are not distinguishable: val loss 1.9900 and 2.0000" in sentence(found)
    (_, other) = leaderboard(found).entries
    assert not any(cell.sign in ("better", "worse") for cell in other.cells)


def test_a_setting_that_older_runs_lack_has_its_default(tmp_path: Path) -> None:
    limit = "train.runtime.max_minutes"
    older, *others = runs_of(tmp_path, *seeds("plain", 2.1, 2.11), *seeds("rope", 1.9, 1.91))

    def newer(value: float) -> list[ComparedRun]:
        return [replace(run, settings={**run.settings, limit: value}) for run in others]

    found = compare_runs([older, *newer(0.0)])
    assert found.settings == ("model.norm", "train.runtime.seed")
    assert [len(column.runs) for column in found.columns] == [2, 2]
    assert [len(group) for group in seed_groups([older, *newer(0.0)])] == [2, 2]
    other = compare_runs([older, *newer(5.0)])
    assert limit in other.settings
    assert [len(column.runs) for column in other.columns] == [1, 1, 2]


def test_unfolded_seeds_get_the_same_verdict_and_a_row_for_each_mean(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, *seeds("plain", 2.1, 2.11, 2.09), *seeds("rope", 1.9, 1.91, 1.89))
    folded, single = compare_runs(runs), compare_runs(runs, group=False)
    assert sentence(folded) == sentence(single)
    names = [entry.name for entry in leaderboard(single).entries]
    assert names[:6] == ["rope-s3", "rope-s1", "rope-s2", "plain-s3", "plain-s1", "plain-s2"]
    assert names[6:] == ["mean of plain-{s1,s2,s3}", "mean of rope-{s1,s2,s3}"]


def test_one_seed_each_is_untested_until_windows_are_measured(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, ("plain", 2.0, 1), ("rope", 1.9, 1))
    assert compare_runs(runs).verdict.conclusion == "untested"
    text = sentence(compare_runs(runs), hint="press w")
    assert text.endswith("one seed each, so chance is not ruled out (press w).")
    assert needs_windows(runs) == runs

    levels = np.linspace(1.0, 3.0, 40)
    noise = np.tile([0.01, -0.01], 20)
    worse, better = levels.tolist(), (levels - 0.1 + noise).tolist()
    measured = [with_losses(runs[0], worse), with_losses(runs[1], better)]
    assert needs_windows(measured) == []
    found = compare_runs(measured)
    assert found.verdict.conclusion == "better"
    assert "paired over all 40 windows of the validation split 0.1000 apart" in sentence(found)
    assert "That holds for these two models" in sentence(found)

    same = [with_losses(runs[0], worse), with_losses(runs[1], (levels + 3 * noise).tolist())]
    assert compare_runs(same).verdict.conclusion == "not_distinguishable"


@pytest.mark.parametrize("change", [{"dataset": "e"}, {"per_token": [1.0, 2.0]}])
def test_other_windows_are_not_paired(tmp_path: Path, change: dict[str, Any]) -> None:
    runs = runs_of(tmp_path, ("plain", 2.0, 1), ("rope", 1.9, 1))
    first = with_losses(runs[0], [1.0, 2.0, 3.0])
    values: dict[str, Any] = {"per_token": [0.9, 1.9, 2.9]} | change
    other = with_losses(runs[1], **values)
    assert compare_runs([first, other]).verdict.conclusion == "untested"


def test_a_single_run_is_held_against_the_seeds_of_the_others(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, *seeds("plain", 2.0, 2.02, 1.98, 2.0), ("rope", 1.5, 1))
    found = compare_runs(runs).verdict
    assert found.test is not None
    assert found.test.method == "seed_spread"
    assert found.conclusion == "better"
    assert "by the spread of seeds in this comparison" in sentence(compare_runs(runs))


def test_the_best_of_many_is_corrected_for_how_many_there_are(tmp_path: Path) -> None:
    plain, rope = seeds("plain", 2.0, 2.02, 1.98), seeds("rope", 1.94, 1.92, 1.9)
    pair = compare_runs(runs_of(tmp_path / "a", *plain, *rope))
    others = [each for name in "abcdef" for each in seeds(name, 2.0, 2.02, 1.98)]
    many = compare_runs(runs_of(tmp_path / "b", *plain, *rope, *others))
    assert pair.verdict.conclusion == "better"
    assert many.verdict.conclusion == "not_distinguishable"
    assert many.verdict.p_value == pytest.approx(7 * (pair.verdict.p_value or 0))
    assert "corrected for 7 comparisons, not below 0.01" in sentence(many)
    assert "not below" not in sentence(pair)
    assert sign_in_row(pair, "rope") == "better"
    assert sign_in_row(many, "rope") == "unclear"


def sign_in_row(comparison: Comparison, start: str) -> str | None:
    board = leaderboard(comparison)
    place = next(place for place, head in enumerate(board.heads) if head.key == "best_val_loss")
    row = next(entry for entry in board.entries if entry.name.startswith(start))
    return row.cells[place].sign


def test_runs_on_another_text_are_left_out_and_stand_last(tmp_path: Path) -> None:
    finished_run(tmp_path, "a", 2.0)
    finished_run(tmp_path, "b", 1.9, model={"norm": "x"})
    folders = [finished_run(tmp_path, "c", 0.1, fingerprint="e" * 64, model={"norm": "y"})]
    found = compare(tmp_path, "a", "b", "c")
    assert "b is lowest: val loss 1.9000" in sentence(found)
    assert "Left out, measured on another text: c." in sentence(found)
    assert [entry.name for entry in leaderboard(found).entries] == ["b", "a", "c"]
    alone = compare(tmp_path, "c", "a")
    assert sentence(alone) == "No verdict: no two runs have a validation loss on the same text."
    assert folders


def compare(runs_dir: Path, *names: str) -> Comparison:
    from transformer_playground.runs.folder import RunFolder

    return compare_runs(read_runs([RunFolder(runs_dir / name) for name in names]))


def test_times_have_no_sign_unless_steps_and_device_agree(tmp_path: Path) -> None:
    here = {"host": "one", "device": "cpu"}
    finished_run(tmp_path, "a", 2.0, environment=here)
    finished_run(tmp_path, "b", 1.9, environment=here, model={"norm": "x"})
    finished_run(tmp_path, "c", 1.8, environment={**here, "host": "two"}, model={"norm": "y"})
    faster = Delta(-10.0, -10.0, None)
    assert sign_of("wall_time_s", faster) == "better"
    assert sign_of("wall_time_s", faster, same_conditions=False) is None
    assert sign_of("tokens_per_second", faster, same_conditions=False) is None
    assert sign_of("best_val_loss", faster, same_conditions=False) == "better"


@pytest.mark.parametrize(
    ("key", "difference", "p_value", "sign"),
    [
        ("best_val_loss", -0.1, None, "better"),
        ("best_val_loss", 0.1, None, "worse"),
        ("best_val_loss", 0.1, 0.01, "unclear"),
        ("best_val_loss", 0.1, 0.009, "worse"),
        ("best_val_loss", 0.0, None, None),
        ("tokens_per_second", 10.0, None, "better"),
        ("tokens_per_second", -10.0, None, "worse"),
        ("parameters", -10.0, None, None),
        ("generalisation_gap", -0.1, None, None),
    ],
)
def test_the_sign_of_a_difference_depends_on_direction_and_chance(
    key: str, difference: float, p_value: float | None, sign: str | None
) -> None:
    assert sign_of(key, Delta(difference, None, None, p_value)) == sign


def test_a_difference_is_corrected_for_the_number_of_comparisons() -> None:
    difference = Delta(0.1, None, None, 0.004)
    assert sign_of("final_val_loss", difference, comparisons=2) == "worse"
    assert sign_of("final_val_loss", difference, comparisons=3) == "unclear"


def test_signs_of_single_runs_are_corrected_for_the_number_of_rows(tmp_path: Path) -> None:
    runs = runs_of(
        tmp_path,
        *seeds("plain", 2.0, 2.01, 2.02, 1.99, 1.98),
        *seeds("rope", 1.91, 1.92, 1.93, 1.9, 1.89),
    )
    folded, single = compare_runs(runs), compare_runs(runs, group=False)
    assert (folded.comparisons, single.comparisons) == (1, 9)
    assert single.verdict == folded.verdict
    signs = {}
    for entry in leaderboard(single, with_means=False).entries[:5]:
        assert entry.column.test is not None
        signs[entry.name] = (
            entry.column.test.p_value < 0.01,
            next(cell.sign for cell in entry.cells if cell.delta),
        )
    # Each alone would be better, but not as one of nine.
    assert signs["rope-s4"] == (True, "unclear")
    assert {sign for _, sign in signs.values()} == {"unclear"}


def test_seeds_on_another_text_have_signs_corrected_for_their_number(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, *(each for name in "abc" for each in seeds(name, 2.0, 2.1)))
    other = [
        replace(run, fingerprint=f"{run.fingerprint} {run.settings['model.norm']}") for run in runs
    ]
    found = compare_runs(other)
    assert found.verdict.conclusion == "none"
    assert found.comparisons == 2
