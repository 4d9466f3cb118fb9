"""Where a branch starts, and whether it has steps to train."""

from pathlib import Path

import pytest

from builders.runs import append_rows, make_run, train_row
from transformer_playground.errors import UsageError
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.series import RunSeries
from transformer_playground.training import branching

PARENT = ("parent", "last")


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run whose newest checkpoint is that of step 120."""
    monkeypatch.setattr(branching, "branch_step", lambda _run, _checkpoint: 120)
    (tmp_path / "parent").mkdir()
    return RunFolder(tmp_path / "parent")


def test_a_branch_without_steps_is_refused_with_what_to_raise(parent: RunFolder) -> None:
    for max_iters in (100, 120):
        with pytest.raises(UsageError, match="from step 120 of run 'parent' has no step") as caught:
            branching.refuse_without_steps(parent, PARENT, max_iters)
        assert "above 120: --set train.runtime.max_iters=240" in caught.value.hint
    branching.refuse_without_steps(parent, PARENT, 121)
    branching.refuse_without_steps(parent, None, 1)


def test_more_steps_are_proposed_only_at_the_end_of_a_run() -> None:
    assert branching.longer_training(120, 120) == ("train.runtime.max_iters=240",)
    assert branching.longer_training(0, 0) == ("train.runtime.max_iters=2",)
    for step, max_iters in ((60, 120), (None, 120), (120, None)):
        assert branching.longer_training(step, max_iters) == ()


def test_the_rows_of_a_parent_are_read_again_only_once_they_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, rows=[train_row(step, time=10.0 * step) for step in range(3)])
    reads = []

    class Counted(RunSeries):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            reads.append(path)

    monkeypatch.setattr("transformer_playground.runs.series.RunSeries", Counted)
    assert [branching.counted_seconds(run, 2) for _ in range(3)] == [20.0] * 3
    assert len(reads) == 1
    append_rows(run, [train_row(3, time=50.0)])
    assert branching.counted_seconds(run, 3) == 50.0
    assert branching.counted_seconds(run, 1) == 10.0
    assert len(reads) == 3
