"""Running a Typer application, for the commands and for the console."""

import typer
import typer.main

from transformer_playground.cli.options import with_resume_default
from transformer_playground.cli.output import run_command
from transformer_playground.errors import UsageError

# What the library that checks options puts before a sentence, to no one's use.
_VALIDATOR = "Value error, "


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
            message = error.format_message().replace(_VALIDATOR, "")
            raise UsageError(message, f"See: {_asked_of(error) or name} --help") from error
        return code if isinstance(code, int) else 0

    return run_command(invoke)


def _asked_of(error: typer.TyperException) -> str | None:
    """The command, such as `tp runs show`, that the words were for."""
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else None
