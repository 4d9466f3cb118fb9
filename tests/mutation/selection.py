"""Which tests execute which line, measured once for each test file and kept in a folder."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import coverage
import pytest

from mutation.mutants import Mutant
from mutation.session import run_collected

# Context of lines that ran in a fixture shared by several tests of a file.
_SHARED = "shared"
# Tests that would take longer are left out, which can only let more mutants survive.
SECONDS_PER_MUTANT = 10.0


def file_hash(path: Path) -> str:
    """SHA-256 of a file; empty if there is none."""
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def file_of(test: str) -> str:
    """The file of a test, from its id."""
    return test.partition("::")[0]


@dataclass
class Selection:
    """The tests of each line of the mutated modules.

    Attributes:
        seconds: Processor time of each test.
        hashes: Hash of each test file when it was measured.
        tests: Module -> line -> ids of the tests that execute it.
        at_import: Module -> lines that run when it is imported.
        limit: Processor time for the tests of one mutant.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    tests: dict[Path, dict[int, set[str]]] = field(default_factory=dict)
    at_import: dict[Path, set[int]] = field(default_factory=dict)
    limit: float = SECONDS_PER_MUTANT

    def for_mutant(self, mutant: Mutant) -> list[str]:
        """Ids of the tests that execute the change, within the time limit of one mutant.

        Fastest first, the tests of the module's own package before all others.

        For a change that works at import these are the tests of the function whose header it is
        in, or else all tests that execute anything in the module, or else those of its package.
        """
        lines = self.tests.get(mutant.module, {})
        if mutant.unit is not None:
            found = _union(lines, mutant.lines)
            if found or not self.works_at_import(mutant):
                return self.fastest(found, mutant.module)
        around = mutant.header_of or mutant.unit
        found = _union(lines, around.lines) if around is not None else set()
        found = found or _union(lines, lines) or self._tests_of_package(mutant.module)
        return self.fastest(found, mutant.module)

    def works_at_import(self, mutant: Mutant) -> bool:
        """Whether the change works only when the module is imported."""
        if mutant.unit is None:
            return True
        lines = self.tests.get(mutant.module, {})
        at_import = self.at_import.get(mutant.module, set())
        return not _union(lines, mutant.lines) and not at_import.isdisjoint(mutant.lines)

    def fastest(self, tests: Iterable[str], module: Path) -> list[str]:
        """The fastest of `tests` that fit into the time of one mutant of `module`, file by file.

        Going back and forth between files would build their shared fixtures again and again.
        """
        chosen: dict[str, list[str]] = defaultdict(list)
        total = 0.0
        for test in sorted(
            tests, key=lambda test: (not _is_of_package(test, module), self.seconds[test], test)
        ):
            total += self.seconds[test]
            if total > self.limit and chosen:
                break
            chosen[file_of(test)].append(test)
        files = sorted(chosen.values(), key=lambda tests: self._file_order(tests, module))
        return [test for tests in files for test in tests]

    def evidence(self, tests: Iterable[str]) -> str:
        """Changes when one of the files of `tests` does, or when other tests are selected."""
        digest = sha256()
        for test in sorted(tests):
            digest.update(f"{test} {self.hashes.get(file_of(test), '')}\n".encode())
        return digest.hexdigest()

    def _file_order(self, tests: list[str], module: Path) -> tuple[bool, float]:
        seconds = sum(self.seconds[test] for test in tests)
        return (not _is_of_package(tests[0], module), seconds)

    def _tests_of_package(self, module: Path) -> set[str]:
        return {test for test in self.seconds if _is_of_package(test, module)}


def _is_of_package(test: str, module: Path) -> bool:
    return module.parent.name in Path(file_of(test)).parts


def _union(lines: dict[int, set[str]], wanted: Iterable[int]) -> set[str]:
    return set().union(*(lines.get(line, set()) for line in wanted))


@dataclass(frozen=True)
class Measurements:
    """Coverage of test files, kept in a folder until a test file or a module changes.

    Args:
        folder: Where they are kept.
        root: Root of the checkout.
        source: Folder of the measured package.
    """

    folder: Path
    root: Path
    source: Path

    def stale(self, files: Iterable[str], modules: Iterable[Path]) -> dict[str, str]:
        """Test files that must be measured before the lines of `modules` are known.

        With their hashes now: a file may be edited before it is measured.
        """
        hashes = {self._name(module): file_hash(module) for module in modules}
        stale: dict[str, str] = {}
        for file in files:
            about, known = self._about(file), file_hash(self.root / file)
            if about.get("test") != known or any(
                hashes.get(name, digest) != digest for name, digest in about["modules"].items()
            ):
                stale[file] = known
        return stale

    def measure(self, file: str, digest: str, items: Sequence[pytest.Item]) -> tuple[str | None]:
        """Run the tests of a file and keep which lines they execute; the id of a failed test.

        Args:
            file: The test file.
            digest: Its hash when the tests were collected.
            items: Its tests.
        """
        data_file = self._path(file, ".coverage")
        data_file.unlink(missing_ok=True)
        self._path(file, ".json").unlink(missing_ok=True)
        measured = coverage.Coverage(
            data_file=str(data_file), include=[f"{self.source}/*"], config_file=False
        )
        # Tests of tables and the like execute nothing.
        measured.set_option("run:disable_warnings", ["no-data-collected"])
        times = _Contexts(measured.switch_context)
        items[0].config.pluginmanager.register(times)
        # Nothing that the tests change in this process matters: it is a child.
        measured.start()
        failed = run_collected(items)
        measured.stop()
        if failed is not None:
            return (failed,)
        measured.save()
        modules = measured.get_data().measured_files()
        about = {
            "test": digest,
            "modules": {self._name(Path(path)): file_hash(Path(path)) for path in sorted(modules)},
            "seconds": times.seconds,
        }
        self._path(file, ".json").write_text(json.dumps(about), "utf-8")
        return (None,)

    def read(self, files: Iterable[str], modules: Sequence[Path]) -> Selection:
        """The tests of each line of `modules`."""
        selection = Selection(tests={module: defaultdict(set) for module in modules})
        for file in files:
            about = self._about(file)
            if not about["seconds"]:
                continue
            selection.seconds |= about["seconds"]
            selection.hashes[file] = about["test"]
            data = coverage.CoverageData(str(self._path(file, ".coverage")))
            data.read()
            for module in modules:
                for line, contexts in data.contexts_by_lineno(str(module)).items():
                    tests = set(contexts) - {"", _SHARED}
                    selection.tests[module][line] |= (
                        set(about["seconds"]) if _SHARED in contexts else tests
                    )
        return selection

    def _about(self, file: str) -> dict[str, Any]:
        try:
            about: dict[str, Any] = json.loads(self._path(file, ".json").read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {"modules": {}, "seconds": {}}
        return about

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root))

    def _path(self, file: str, ending: str) -> Path:
        return self.folder / (file.replace("/", ".") + ending)


class _Contexts:
    """Tells coverage which test is running, and takes the time of each."""

    def __init__(self, switch: Callable[[str], object]) -> None:
        self._switch = switch
        self._test = ""
        self.seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._test = nodeid
        self.seconds[nodeid] -= _processor_time()
        self._switch(nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] += _processor_time()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Any:
        if fixturedef.scope == "function":
            return (yield)
        self._switch(_SHARED)
        try:
            return (yield)
        finally:
            self._switch(self._test)


def _processor_time() -> float:
    """Seconds that this process and its ended children have computed."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
