"""Mutation testing of some modules: `python -m mutation checkpoints config/loading.py`."""

import argparse
import os
import sys
import time
from pathlib import Path

from mutation.results import report
from mutation.runner import BrokenTestsError, Runner
from mutation.selection import SECONDS_PER_MUTANT

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "transformer_playground"
PRELOADED = ("torch", "numpy", "pydantic", "hypothesis", "tokenizers", "tomlkit", "orjson", "rich")


def main() -> int:
    """Run the mutants of the named modules and print what survived."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument(
        "modules", nargs="+", help="packages and modules, such as checkpoints or config/loading.py"
    )
    parser.add_argument(
        "--tests", nargs="+", help="files and folders of tests (default: those of the packages)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS_PER_MUTANT,
        help=f"processor time for the tests of one mutant (default: {SECONDS_PER_MUTANT:.0f})",
    )
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time (default: 2)")
    arguments = parser.parse_args()
    modules: list[Path] = []
    for name in arguments.modules:
        place = PACKAGE / name
        if not place.exists():
            parser.error(f"there is no {place.relative_to(ROOT)}")
        modules += [place] if place.is_file() else sorted(place.rglob("*.py"))
    tests = [ROOT / name for name in arguments.tests or _tests_of(modules)]
    if not tests or not all(test.exists() for test in tests):
        parser.error("there are no such tests: name files and folders with --tests")
    # As in tests/conftest.py, and before torch is imported.
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    os.chdir(ROOT)
    started = time.monotonic()
    runner = Runner(
        root=ROOT,
        package=PACKAGE,
        modules=modules,
        tests=tests,
        cache=ROOT / ".cache" / "mutation",
        workers=arguments.workers,
        preloaded=PRELOADED,
        seconds=arguments.seconds,
    )
    try:
        pairs = runner.run()
    except BrokenTestsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    print(report(pairs, ROOT))
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    return 0


def _tests_of(modules: list[Path]) -> list[str]:
    """Folders of the tests of the packages of some modules."""
    packages = sorted({module.relative_to(PACKAGE).parts[0] for module in modules})
    folders = [f"tests/{kind}/{name}" for name in packages for kind in ("unit", "integration")]
    return [folder for folder in folders if (ROOT / folder).is_dir()]


if __name__ == "__main__":
    sys.exit(main())
