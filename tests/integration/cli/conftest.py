"""A tiny project and its commands, run in this process."""

import shutil
from pathlib import Path

import pytest

from builders.commands import Ended, Project, Tp, in_process, make_project
from transformer_playground.cli.main import main


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the experiment `tiny`, nothing prepared."""
    return make_project(tmp_path / "project")


@pytest.fixture
def tp(project: Project, capsys: pytest.CaptureFixture[str]) -> Tp:
    """Commands in the folder of `project`."""

    def call(*words: object) -> Ended:
        return in_process(project, capsys, *words)

    return call


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose experiment was trained as the run `first`; not to be changed."""
    project = make_project(tmp_path_factory.mktemp("trained") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        assert main(["loop", "tiny", "--run-id", "first"]) == 0
    return project


@pytest.fixture
def trained(project: Project, trained_once: Project) -> Project:
    """`project`, with its dataset prepared and the run `first` in it."""
    shutil.copytree(trained_once.root, project.root, dirs_exist_ok=True)
    # As if it had been trained here.
    record = project.run_named("first").config_path
    record.write_text(record.read_text().replace(str(trained_once.root), str(project.root)))
    return project
