"""Running a Typer application, for the commands and for the console."""

import typer
import typer.main

from transformer_playground.cli.console import run_command
from transformer_playground.cli.options import with_resume_default
from transformer_playground.errors import UsageError


def run_app(application: typer.Typer, arguments: list[str]) -> int:
    """Run a Typer application; commands return their exit code or nothing."""
    command = typer.main.get_command(application)
    name = command.name or "tp"

    def invoke() -> int:
        # Typer's own main() would turn Ctrl-C and closed pipes into exit codes without a word.
        try:
            with command.make_context(name, with_resume_default(arguments)) as context:
                code = command.invoke(context)
        except typer.Exit as end:
            return end.exit_code
        except typer.TyperException as error:
            raise UsageError(error.format_message(), f"See: {name} --help") from error
        return code if isinstance(code, int) else 0

    return run_command(invoke)
