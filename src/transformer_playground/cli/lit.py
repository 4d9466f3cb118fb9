"""`tp lit`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transformer_playground.cli.options import (
    RUN_HELP,
    Base,
    Checkpoint,
    DatasetDir,
    ExperimentsDir,
    RunsDir,
    refuse_unread,
)
from transformer_playground.cli.output import note, say
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.finding import find_runs
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    import signal


def lit(
    context: typer.Context,
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN…", help=RUN_HELP)],
    checkpoint: Checkpoint = None,
    windows: Annotated[
        int,
        typer.Option("--windows", metavar="N", min=1, help="Windows of the validation split."),
    ] = 50,
    n_pairs: Annotated[
        int, typer.Option("--n-pairs", metavar="N", min=0, help="Minimal pairs from its text.")
    ] = 50,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port; 0 = a free one.")
    ] = 5432,
    env: Annotated[
        Path | None,
        typer.Option(
            "--env",
            metavar="FOLDER",
            help="Python environment that has LIT; default: one in the cache folder, made once.",
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            "--python", metavar="PYTHON", help="Interpreter or version for the environment."
        ),
    ] = None,
    dataset: DatasetDir = None,
    base: Base = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
) -> int:
    """Open runs in LIT, Google's interpretability tool.

    LIT runs as a second process, in an environment of its own that uv makes at the first use, and
    shows a page on 127.0.0.1 until Ctrl-C. See docs/inspect.md.
    """
    if env is not None:
        refuse_unread(context, {"python": "with --env"})
    folders = find_runs(runs_dir, ",".join(run_ids))

    from transformer_playground.lit.environment import lit_python
    from transformer_playground.lit.request import LitRequest, resolve_lit
    from transformer_playground.serving.server import open_socket

    request = LitRequest(
        checkpoint=checkpoint,
        windows=windows,
        n_pairs=n_pairs,
        dataset=dataset,
        base=base,
        experiments_dir=experiments_dir,
        environ=os.environ,
    )
    setups = resolve_lit(folders, request)
    with open_socket("127.0.0.1", port) as listening:
        interpreter = lit_python(env=env, python=python, progress=_tell)
        # torch is imported after everything that can fail without it.
        import asyncio

        from transformer_playground.lit.load import load_session
        from transformer_playground.lit.session import show

        session = load_session(setups, request, interpreter, progress=_tell)
        names = ", ".join(model.name for model in session.models)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/?layout=default"

        _tell("starting LIT")

        async def showing() -> "signal.Signals":
            return await show(
                session,
                listening,
                notify=_tell,
                ready=lambda: say(visible_line(f"LIT shows {names} on {address} (Ctrl-C ends)")),
            )

        ended = asyncio.run(showing())
    note(f"stopped by {ended.name}")
    return 128 + ended


def _tell(line: str) -> None:
    note(visible_line(line))
