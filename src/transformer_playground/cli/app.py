"""Typer application runner of `tp` and `tp-tui`."""

import typer
import typer.main

from transformer_playground.cli.options import with_resume_default
from transformer_playground.cli.output import run_command
from transformer_playground.errors import UsageError

# Prefix that pydantic adds to messages.
_PYDANTIC_PREFIX = "Value error, "


def run_app(application: typer.Typer, arguments: list[str]) -> int:
    """Run a Typer application; commands return their exit code or nothing."""
    command = typer.main.get_command(application)
    name = command.name or "tp"

    def invoke() -> int:
        # Typer's main() exits silently on Ctrl-C and closed pipes.
        try:
            with command.make_context(name, with_resume_default(arguments)) as context:
                code = command.invoke(context)
        except typer.Exit as end:
            return end.exit_code
        except typer.TyperException as error:
            message = error.format_message().replace(_PYDANTIC_PREFIX, "")
            path = getattr(getattr(error, "ctx", None), "command_path", name)
            raise UsageError(message, f"See: {path} --help") from error
        return code if isinstance(code, int) else 0

    return run_command(invoke)
