"""Where a branch starts, and whether it has steps to train."""

from pathlib import Path

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.runs.folder import RunFolder
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
