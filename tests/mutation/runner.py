"""Run mutants: first those that exchange functions, then those that need a new import."""

import gc
import importlib
import os
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import coverage
import pytest

from mutation.mutants import Mutant, mutants_of
from mutation.mutated_code import MutatedModule, exchange, loaded_functions
from mutation.pool import Answer, Task, run_tasks
from mutation.results import Result, Results
from mutation.selection import SECONDS_PER_MUTANT, Measurements, Selection, file_of
from mutation.session import CollectionError, collect_and_run, run_collected, with_collected_tests

# A mutant that needs so many times the processor time of its tests, and some seconds more, hangs.
_SLOWER = 2.0
# Processor time for the imports of all tests of a mutant.
_IMPORTS = 60.0
_MEASURING_LIMIT = 900.0

# Runs tests by their ids against a mutant, or against the unchanged code. Returns the test that
# failed, if any, and whether the mutant could be tried at all.
RunTests = Callable[[Mutant | None, Sequence[str]], tuple[str | None, bool]]


class BrokenTestsError(Exception):
    """Tests fail without any mutant, so they prove nothing."""


@dataclass(frozen=True)
class Runner:
    """Runs the mutants of some modules.

    Attributes:
        root: Root of the checkout, the current folder.
        package: Folder of the package that the modules belong to.
        modules: Files to mutate.
        tests: Files and folders of tests.
        cache: Folder for results and measurements.
        workers: Children at a time.
        preloaded: Libraries that every child needs and that take long to import.
        seconds: Processor time for the tests of one mutant.
        patience: Processor time that every child has besides the time of its tests.
    """

    root: Path
    package: Path
    modules: Sequence[Path]
    tests: Sequence[Path]
    cache: Path
    workers: int
    preloaded: Sequence[str] = ()
    seconds: float = SECONDS_PER_MUTANT
    patience: float = 10.0

    def run(self) -> list[tuple[Mutant, Result]]:
        """Run every mutant without a valid result; all mutants with their results.

        Raises:
            BrokenTestsError: Tests fail without any mutant, or cannot be collected.
        """
        for folder in ("coverage", "results"):
            (self.cache / folder).mkdir(parents=True, exist_ok=True)
        for name in self.preloaded:
            importlib.import_module(name)
        mutants = [mutant for module in self.modules for mutant in mutants_of(module)]
        at_import = self._lines_at_import()
        # A change of what runs at import needs a process that has not imported the package. Tests
        # import it, so they are collected in a child, and this process stays free of it.
        problem = _in_fork(partial(self._in_session, mutants, at_import))
        if problem:
            raise BrokenTestsError(problem)
        state = self._state(at_import)
        state.try_all(mutants, _run_importing, _IMPORTS)
        return [(mutant, state.result_of(mutant)) for mutant in mutants]

    def _in_session(self, mutants: list[Mutant], at_import: dict[Path, set[int]]) -> None:
        with_collected_tests(self.tests, partial(self._with_items, mutants, at_import))

    def _with_items(
        self,
        mutants: list[Mutant],
        at_import: dict[Path, set[int]],
        items: Sequence[pytest.Item],
    ) -> None:
        parent = os.getppid()
        self._measure(items, parent)
        state = self._state(at_import, parent)
        if not state.selection.seconds:
            raise BrokenTestsError("No test file passes without any mutant.")
        by_id = {item.nodeid: item for item in items}
        functions = loaded_functions(self.modules)
        # Children share the memory of everything loaded so far, as long as nobody touches it.
        gc.collect()
        gc.freeze()

        def run(mutant: Mutant | None, tests: Sequence[str]) -> tuple[str | None, bool]:
            if mutant is not None and not (
                mutant.unit and exchange(functions, mutant.module, mutant.unit, mutant.source)
            ):
                return None, False
            return run_collected([by_id[test] for test in tests]), True

        state.try_all([mutant for mutant in mutants if not state.works_at_import(mutant)], run)

    def _measure(self, items: Sequence[pytest.Item], parent: int) -> None:
        """Measure the test files that have changed, or execute a module that has."""
        by_file: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in items:
            by_file[file_of(item.nodeid)].append(item)
        measurements = self._measurements()
        stale = measurements.stale(by_file, self.modules)
        tasks = (
            Task(
                file,
                partial(measurements.measure, file, digest, by_file[file]),
                _MEASURING_LIMIT,
            )
            for file, digest in stale.items()
        )
        for number, answer in enumerate(run_tasks(tasks, self.workers), 1):
            outcome = "measured"
            if answer.value is None or answer.value[0] is not None:
                failed = answer.value[0] if answer.value else answer.name
                outcome = f"left out, since {failed} fails without any mutant:"
            _end_with(parent)
            _show(f"{number} of {len(stale)} test files {outcome} {answer.name}")

    def _lines_at_import(self) -> dict[Path, set[int]]:
        """Lines that run when a module is imported."""

        def measure() -> dict[str, list[int]]:
            measured = coverage.Coverage(
                data_file=None, include=[f"{self.package}/*"], config_file=False
            )
            measured.set_option("run:disable_warnings", ["no-data-collected"])
            measured.start()
            for module in self.modules:
                name = module.relative_to(self.package.parent).with_suffix("")
                importlib.import_module(".".join(name.parts))
            measured.stop()
            data = measured.get_data()
            return {str(module): data.lines(str(module)) or [] for module in self.modules}

        (answer,) = run_tasks([Task("import", measure, _MEASURING_LIMIT)], 1)
        if answer.value is None:
            raise BrokenTestsError("The modules cannot be imported.")
        return {Path(name): set(lines) for name, lines in answer.value.items()}

    def _measurements(self) -> Measurements:
        return Measurements(self.cache / "coverage", self.root, self.package)

    def _state(self, at_import: dict[Path, set[int]], parent: int | None = None) -> "_State":
        files = [
            str(path.relative_to(self.root))
            for place in self.tests
            for path in ([place] if place.is_file() else sorted(place.rglob("test_*.py")))
        ]
        selection = self._measurements().read(files, self.modules)
        selection.at_import |= at_import
        selection.limit = self.seconds
        results = {
            module: Results(self.cache / "results", module, str(module.relative_to(self.root)))
            for module in self.modules
        }
        return _State(selection, results, self.workers, self.patience, parent)


@dataclass(frozen=True)
class _State:
    """Results so far, and which tests decide the rest; ends when `parent` does."""

    selection: Selection
    results: dict[Path, Results]
    workers: int
    patience: float
    parent: int | None

    def works_at_import(self, mutant: Mutant) -> bool:
        return self.selection.works_at_import(mutant)

    def result_of(self, mutant: Mutant) -> Result:
        result = self.results[mutant.module].get(mutant.key)
        assert result is not None
        return result

    def try_all(self, mutants: Iterable[Mutant], run: RunTests, extra: float = 0.0) -> None:
        """Try every mutant without a valid result, and keep the results as they come.

        Args:
            mutants: Mutants to try.
            run: Runs tests against one of them, in a child.
            extra: Processor time that each child may take besides its tests.
        """
        pending: list[tuple[Mutant, list[str]]] = []
        for mutant in mutants:
            tests = self.selection.for_mutant(mutant)
            if self._is_decided(mutant, tests):
                continue
            if tests:
                pending.append((mutant, tests))
            else:
                self._keep(mutant, Result("survived", None, self.selection.evidence([]), 0.0, 0))
        for module, group in groupby(pending, key=lambda pair: pair[0].module):
            chosen = self.selection.fastest({test for _, tests in group for test in tests}, module)
            self._check_unchanged(partial(run, None, chosen), self._limit(chosen) + extra)
        tasks = (
            Task((mutant, tests), partial(run, mutant, tests), self._limit(tests) + extra)
            for mutant, tests in pending
        )
        for number, answer in enumerate(run_tasks(tasks, self.workers), 1):
            mutant, tests = answer.name
            result = self._result(answer, tests)
            if result is not None:
                self._keep(mutant, result)
                place = f"{mutant.module.parent.name}/{mutant.module.name}:{mutant.line}"
                _show(f"{number} of {len(pending)}: {place} {mutant.key} {result.outcome}")
            _end_with(self.parent)

    @staticmethod
    def _check_unchanged(run: Callable[[], tuple[str | None, bool]], limit: float) -> None:
        """Tests that fail in this order without a mutant would seem to kill every one."""
        (answer,) = run_tasks([Task("unchanged", run, limit)], 1)
        if answer.value is None or answer.value[0] is not None:
            test = answer.value[0] if answer.value else "a test that does not end"
            raise BrokenTestsError(f"Without any mutant there fails {test}.")

    def _is_decided(self, mutant: Mutant, tests: Sequence[str]) -> bool:
        result = self.results[mutant.module].get(mutant.key)
        if result is None:
            return False
        deciding = [result.test] if result.test is not None else tests
        return result.evidence == self.selection.evidence(deciding)

    def _result(self, answer: Answer, tests: Sequence[str]) -> Result | None:
        if answer.timed_out:
            return Result(
                "timeout", None, self.selection.evidence(tests), answer.seconds, len(tests)
            )
        # A child without an answer was ended by its mutant, during a test that nobody can name.
        failed, was_tried = answer.value or (tests[0], True)
        if not was_tried:
            return None
        deciding = [failed] if failed is not None else tests
        return Result(
            "survived" if failed is None else "killed",
            failed,
            self.selection.evidence(deciding),
            answer.seconds,
            len(tests),
        )

    def _keep(self, mutant: Mutant, result: Result) -> None:
        self.results[mutant.module].add(mutant.key, result)

    def _limit(self, tests: Sequence[str]) -> float:
        return self.patience + _SLOWER * sum(self.selection.seconds[test] for test in tests)


def _run_importing(mutant: Mutant | None, tests: Sequence[str]) -> tuple[str | None, bool]:
    if mutant is not None:
        MutatedModule(mutant.module, mutant.source).install()
        package = mutant.module.parent.name
    else:
        package = ""
    # Tests of the package first: the others are there for what these miss.
    by_file = [list(nodes) for _, nodes in groupby(sorted(tests, key=file_of), key=file_of)]
    by_file.sort(key=lambda nodes: package not in Path(file_of(nodes[0])).parts)
    for nodes in by_file:
        if (failed := collect_and_run(nodes)) is not None:
            return failed, True
    return None, True


def _in_fork(work: Callable[[], None]) -> str | None:
    """Do something in a child that shares the terminal; the message of a `BrokenTestsError`."""
    ours, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except (BrokenTestsError, CollectionError) as error:
            os.write(theirs, str(error).encode())
        except KeyboardInterrupt:
            os.write(theirs, b"Interrupted.")
        except BaseException:  # noqa: BLE001 - nothing above this process would show it
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as pipe:
        message = pipe.read()
    _, status = os.waitpid(pid, 0)
    return message or ("The tests could not be run." if status else None)


def _end_with(parent: int | None) -> None:
    """End when the process that waits for the results has."""
    if parent not in (None, os.getppid()):
        raise KeyboardInterrupt


def _show(line: str) -> None:
    # pytest has taken `sys.stdout`.
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.__stdout__, flush=True)
