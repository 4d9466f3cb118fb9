"""Where experiments and runs lie if no option says otherwise."""

from pathlib import Path

EXPERIMENTS_DIR = Path("experiments")
RUNS_DIR = Path("runs")
