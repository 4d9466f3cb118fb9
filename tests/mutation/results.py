"""Outcomes of mutants, kept in one file for each module as they come."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mutation.mutants import Mutant
from mutation.selection import file_hash

Outcome = Literal["killed", "timeout", "survived"]


@dataclass(frozen=True)
class Result:
    """What became of a mutant.

    Attributes:
        outcome: "killed" if a test failed, "timeout" if the tests did not end, else "survived".
        test: Id of the test that failed.
        evidence: Identifies the tests that decided it, see `Selection.evidence`.
        seconds: Time it took.
        tests: Number of tests that were selected; a mutant without tests survives.
    """

    outcome: Outcome
    test: str | None
    evidence: str
    seconds: float
    tests: int


class Results:
    """Results of one module; those of an older version of its source are dropped.

    Args:
        folder: Where results are kept.
        module: File of the module.
        name: Name of the module in `folder`.
    """

    def __init__(self, folder: Path, module: Path, name: str) -> None:
        self._path = folder / f"{name.replace('/', '.')}.jsonl"
        self._header = {"source": file_hash(module)}
        self._results: dict[str, Result] = {}
        rows = self._rows()
        if rows[:1] == [self._header]:
            for row in rows[1:]:
                key = row.pop("mutant")
                self._results[key] = Result(**row)
        # Rewritten, so that a line that was cut off does not spoil the next one.
        lines = [self._header, *(_row(key, result) for key, result in self._results.items())]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
        partial.replace(self._path)

    def get(self, key: str) -> Result | None:
        """The result of a mutant, if there is one."""
        return self._results.get(key)

    def add(self, key: str, result: Result) -> None:
        """Keep a result, also if the program is killed at once."""
        self._results[key] = result
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(_row(key, result))}\n")

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        if self._path.exists():
            for line in self._path.read_text("utf-8").splitlines():
                try:
                    rows.append(json.loads(line))
                except ValueError:
                    break
        return rows


def _row(key: str, result: Result) -> dict[str, object]:
    return {"mutant": key, **asdict(result)}


def report(pairs: Iterable[tuple[Mutant, Result]], root: Path) -> str:
    """The score, and a line for each mutant that survived."""
    pairs = list(pairs)
    lines = []
    for mutant, result in pairs:
        if result.outcome == "survived":
            place = f"{mutant.module.relative_to(root)}:{mutant.line}"
            tests = "no test executes it" if result.tests == 0 else f"{result.tests} tests"
            change = f"{mutant.before}  ->  {mutant.after or '(removed)'}"
            lines.append(f"{place} [{mutant.key}, {tests}]\n    {change}")
    return "\n".join([*lines, *_table(pairs, root)])


def _table(pairs: list[tuple[Mutant, Result]], root: Path) -> list[str]:
    by_module: dict[str, list[Result]] = defaultdict(list)
    for mutant, result in pairs:
        by_module[str(mutant.module.relative_to(root))].append(result)
    rows = sorted(by_module.items())
    rows.append(("total", [result for _, result in pairs]))
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':{width}}  mutants  killed  timeout  survived   score"]
    for name, results in rows:
        outcomes = [result.outcome for result in results]
        killed, timeouts = outcomes.count("killed"), outcomes.count("timeout")
        score = (killed + timeouts) / len(results) if results else 1.0
        lines.append(
            f"{name:{width}}  {len(results):7}  {killed:6}  {timeouts:7}"
            f"  {outcomes.count('survived'):8}  {score:6.1%}"
        )
    return lines
