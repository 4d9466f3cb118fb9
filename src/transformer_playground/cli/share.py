"""`tp share`."""

from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.options import RUN_HELP, RunsDir
from transformer_playground.cli.output import say
from transformer_playground.errors import ExportError, UsageError, translate_os_errors
from transformer_playground.files import timestamped, write_new_file
from transformer_playground.runs.finding import find_runs
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.terminal import visible_line

_SUFFIXES = (".html", ".htm")


def share(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN…", help=RUN_HELP)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.html",
            help="Output file, replaced if it exists; default: a new file in the current folder.",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", help="Title; default: the names of the runs.")
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Write runs as one HTML file that needs no network.

    It has the verdict, curves to zoom, the settings that differ, samples and reports. The first run
    is the baseline.
    """
    if out is not None and out.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"'{visible_line(str(out))}' is not an HTML file.", "Name it FILE.html.")
    folders = find_runs(runs_dir, ",".join(run_ids))
    # Late, so that other commands start without it.
    from transformer_playground.sharing.page import write_page

    if out is None:
        path = write_new_file(
            Path.cwd(), timestamped("share"), "html", lambda path: write_page(path, folders, title)
        )
    else:
        path = out
        with translate_os_errors(ExportError, f"{out} could not be written", "Check the folder."):
            write_page(out, folders, title)
    say(visible_line(str(path)))
