"""`tp runs alerts`."""

from typing import Annotated

import typer

from transformer_playground.cli.options import RUN_HELP, AsJson, RunsDir
from transformer_playground.cli.output import print_table, say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.formatting import date_text, optional_text
from transformer_playground.runs.alerts import Alert, disk_alert, read_alerts
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.listing import list_runs
from transformer_playground.tables import Column


def alerts(
    run_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help=f"{RUN_HELP} Several are read.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Read all runs, not only those in training.")
    ] = False,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Show what may be wrong with runs.

    Without IDs, these are the runs in training. Alerts are losses that are not finite, spikes of
    the training loss, a validation loss that rises for five evaluations, half the usual speed, a
    failure, and little space on the disk.
    """
    if run_ids and every:
        raise UsageError("--all takes no IDs.", "Use one of them.")
    if run_ids:
        runs = [find_run(runs_dir, name) for name in dict.fromkeys(run_ids)]
    else:
        rows = [row for row in list_runs(runs_dir) if every or row.state == "running"]
        runs = [RunFolder(runs_dir / row.run_id) for row in rows if row.state != "broken"]
    found = [alert for run in runs for alert in read_alerts(run.run_id, run.metrics_path)]
    disk = disk_alert(runs_dir)
    found += [disk] if disk else []
    if json_output:
        say_json([alert.as_json() for alert in found])
    elif not found:
        say("No alerts." if runs else "No run is in training.")
    else:
        _print(found)


def _print(found: list[Alert]) -> None:
    print_table(
        [
            Column("time", [optional_text(alert.time, date_text) for alert in found]),
            Column("run", [alert.run_id or "" for alert in found], shrink_last=True),
            Column("step", [optional_text(alert.step, "{:,}".format) for alert in found], True),
            Column("kind", [alert.kind for alert in found]),
            Column("what", [alert.text for alert in found]),
        ]
    )


COMMANDS = {"alerts": alerts}
