"""`tp runs`."""

import time
from typing import Any

from rich.table import Table

from transformer_playground.cli.console import print_table, say, say_json
from transformer_playground.cli.options import RUNS_DIR, AsJson, RunsDir
from transformer_playground.runs.listing import list_runs


def runs(runs_dir: RunsDir = RUNS_DIR, json_output: AsJson = False) -> None:
    """List the runs, newest first."""
    rows = list_runs(runs_dir)
    if json_output:
        say_json(rows)
        return
    if not rows:
        say(f"No runs in {runs_dir}. Make one: tp loop shakespeare")
        return
