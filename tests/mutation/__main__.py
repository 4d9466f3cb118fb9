"""Mutation testing of some modules: `python -m mutation checkpoints config/loading.py`."""

import argparse
import os
import sys
import time
from pathlib import Path

from mutation.results import report
from mutation.runner import BrokenTestsError, Runner

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "transformer_playground"
# Tests of the interfaces execute most of what lies below, but say little about what it should do.
INTERFACES = ("cli", "tui")
PRELOADED = ("torch", "numpy", "pydantic", "hypothesis", "tokenizers", "tomlkit", "orjson", "rich")


def main() -> int:
    """Run the mutants of the named modules and print what survived."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument(
        "modules", nargs="+", help="packages and modules, such as checkpoints or config/loading.py"
    )
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time (default: 2)")
    arguments = parser.parse_args()
    modules: list[Path] = []
    for name in arguments.modules:
        place = PACKAGE / name
        if not place.exists():
            parser.error(f"there is no {place.relative_to(ROOT)}")
        modules += [place] if place.is_file() else sorted(place.rglob("*.py"))
    # As in tests/conftest.py, and before torch is imported.
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    os.chdir(ROOT)
    started = time.monotonic()
    runner = Runner(
        root=ROOT,
        package=PACKAGE,
        modules=modules,
        tests=_tests_of({module.relative_to(PACKAGE).parts[0] for module in modules}),
        cache=ROOT / ".cache" / "mutation",
        workers=arguments.workers,
        preloaded=PRELOADED,
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


def _tests_of(packages: set[str]) -> list[Path]:
    folders = [
        place
        for kind in ("unit", "integration")
        for place in sorted((ROOT / "tests" / kind).iterdir())
        if place.is_dir() or place.name.startswith("test_")
    ]
    return [
        folder
        for folder in folders
        if folder.name not in {"__pycache__", "mutation", *INTERFACES} - packages
    ]


if __name__ == "__main__":
    sys.exit(main())
