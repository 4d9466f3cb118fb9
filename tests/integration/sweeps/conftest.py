"""A tiny project and its commands, run in this process."""

from pathlib import Path

import pytest

from builders.commands import Project, Tp, in_process, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the experiment `tiny`, nothing prepared."""
    return make_project(tmp_path / "project")


@pytest.fixture
def tp(project: Project, capsys: pytest.CaptureFixture[str]) -> Tp:
    """Commands in the folder of `project`."""
    return lambda *words: in_process(project, capsys, *words)
