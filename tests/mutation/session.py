"""Tests in a process: collected once for many runs, or collected for one run."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

# Output is captured in memory: a captured file descriptor would be shared by all children.
_OPTIONS = (
    "-q",
    "--capture=sys",
    "--no-header",
    "--no-summary",
    "-pno:cacheprovider",
    "-pno:xdist",
    "-pno:pytest_cov",
    # The pool has limits of its own, which a busy machine does not reach.
    "--timeout=0",
    # Hypothesis is imported before.
    "-Wignore::pytest.PytestAssertRewriteWarning",
)


class CollectionError(Exception):
    """Tests cannot be collected."""


def with_collected_tests(
    folders: Sequence[Path], work: Callable[[list[pytest.Item]], None]
) -> None:
    """Collect the tests of `folders` and call `work` with them, within pytest's session.

    Raises:
        CollectionError: They cannot be collected.
    """
    collected = False
    raised: BaseException | None = None

    class Plugin:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self, session: pytest.Session) -> bool:
            nonlocal collected, raised
            if session.testsfailed:
                return True
            collected = True
            try:
                work(session.items)
            except BaseException as error:  # noqa: BLE001 - pytest would report it as a fault of its own
                raised = error
            return True

    _use_repeatable_examples()
    pytest.main([*_OPTIONS, *map(str, folders)], plugins=[Plugin()])
    if raised is not None:
        raise raised
    if not collected:
        raise CollectionError("The tests cannot be collected. Run them with pytest first.")


def run_collected(items: Sequence[pytest.Item]) -> str | None:
    """Run collected tests until the first failure; the id of the test that failed."""
    failed: list[str] = []

    class Plugin:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

    if items:
        items[0].config.pluginmanager.register(Plugin())
    for item, following in zip(items, [*items[1:], None], strict=True):
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except BaseException:  # noqa: BLE001 - a mutant may raise anything
            return item.nodeid
        if failed:
            return failed[0]
    return None


def collect_and_run(nodes: Sequence[str]) -> str | None:
    """Collect and run tests until the first failure; the id of the failed test or file."""
    failed: list[str] = []

    class Plugin:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

    _use_repeatable_examples()
    status = pytest.main([*_OPTIONS, "-x", *nodes], plugins=[Plugin()])
    return None if status == pytest.ExitCode.OK else (failed or [nodes[0].partition("::")[0]])[0]


def _use_repeatable_examples() -> None:
    """The same examples for every mutant, and none remembered for later runs of the tests."""
    import hypothesis

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hypothesis.settings.register_profile(
            "mutants",
            derandomize=True,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
            print_blob=False,
        )
        hypothesis.settings.load_profile("mutants")
