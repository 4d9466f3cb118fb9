"""A trained tiny project and its commands, run in this process."""

import shutil
from pathlib import Path

import pytest

from builders.commands import Ended, Project, Tp, in_process, make_trained_project

RUN = "first"


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the trained run `first`; not to be changed."""
    return make_trained_project(tmp_path_factory.mktemp("trained") / "project", RUN)


@pytest.fixture
def project(tmp_path: Path, trained_once: Project) -> Project:
    """A copy of the trained project."""
    copy = Project(tmp_path / "project")
    shutil.copytree(trained_once.root, copy.root)
    record = copy.run_named(RUN).config_path
    record.write_text(record.read_text().replace(str(trained_once.root), str(copy.root)))
    return copy


@pytest.fixture
def tp(project: Project, capsys: pytest.CaptureFixture[str]) -> Tp:
    """Commands in the folder of `project`."""

    def call(*words: object) -> Ended:
        return in_process(project, capsys, *words)

    return call
