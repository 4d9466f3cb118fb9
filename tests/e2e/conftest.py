"""Everything below this folder is marked `e2e`."""

from pathlib import Path

import pytest

from builders.commands import Project, make_project

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the experiment `tiny`, nothing prepared."""
    return make_project(tmp_path / "project")
