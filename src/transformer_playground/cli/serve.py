"""`tp serve`."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from transformer_playground.checkpoints.discovery import skipped_notice
from transformer_playground.cli.options import RUN_HELP, Base, Checkpoint, Overrides, RunsDir
from transformer_playground.cli.output import note, say
from transformer_playground.runs.finding import find_run_or_latest
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.serving.server import Ended


def serve(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    checkpoint: Checkpoint = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Address to listen on; beyond loopback with a token."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port; 0 = a free one."),
    ] = 8000,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            metavar="TOKEN",
            envvar="ML_PLAYGROUND_SERVE_TOKEN",
            help="API key that clients must send; default: none on loopback.",
        ),
    ] = "",
    overrides: Overrides = None,
    base: Base = None,
    runs_dir: RunsDir = RUNS_DIR,
) -> int:
    """Serve a run with OpenAI's API until Ctrl-C.

    Requests are decoded together. Settings that a request leaves out are those of the run.
    """
    run = find_run_or_latest(runs_dir, run_name)

    from transformer_playground.config.run_config import base_model_override
    from transformer_playground.serving.access import Access
    from transformer_playground.serving.app import ApiServer
    from transformer_playground.serving.served import ServedRun
    from transformer_playground.serving.server import open_socket, run_server

    access = Access(host, token)
    with open_socket(host, port) as listening:
        request = SampleRequest(
            checkpoint=checkpoint,
            overrides=(*(overrides or ()), *base_model_override(base)),
            environ=os.environ,
        )
        served = ServedRun.load(run, request)
        for skipped in served.loaded.skipped:
            note(skipped_notice(skipped))
        for notice in served.loaded.notices:
            note(notice)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/v1"

        # `tp --help` loads this module too.
        import asyncio

        async def serving() -> "Ended":
            server = ApiServer(served, access, note)
            return await run_server(
                server,
                listening,
                lambda: say(
                    visible_line(
                        f"serving {served.name}, step {served.loaded.step:,}, on {address} "
                        f"(Ctrl-C ends)"
                    )
                ),
            )

        ended = asyncio.run(serving())
    answered = "all accepted requests were answered" if ended.is_drained else "requests were cut"
    note(f"stopped by {ended.signal.name}; {answered}")
    return 128 + ended.signal
