"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RESUME_LATEST = "@latest"
ExperimentsDir = Annotated[
    Path, typer.Option("--experiments-dir", help="Folder of experiments.", show_default=True)
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Folder of runs.", show_default=True)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; repeatable."),
]
ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="A config.toml to use instead of the experiment's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
OptionalExperiment = Annotated[
    str | None, typer.Argument(metavar="EXP", help="Name of the experiment.")
]
RunId = Annotated[
    str | None,
    typer.Option("--run-id", help="Name of the run; an existing one is continued."),
]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="[ID]",
        help="Continue a run; without ID the experiment's latest.",
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base", metavar="NAME", help="Base model of a finetuned run, if it moved: name or folder."
    ),
]


def with_resume_default(arguments: list[str]) -> list[str]:
    """Give a bare `--resume` its value, which Typer's options cannot leave out."""
    result = []
    for index, argument in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else "-"
        bare = argument == "--resume" and following.startswith("-")
        result.append(f"--resume={RESUME_LATEST}" if bare else argument)
    return result
