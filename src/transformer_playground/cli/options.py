"""Options shared by several commands."""

import functools
import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from transformer_playground.cli.output import note, say
from transformer_playground.errors import UsageError
from transformer_playground.runs.generation_request import SampleRequest

RESUME_LATEST = "@latest"
CHECKPOINT_HELP = "Checkpoint: auto (best, else last), best, last or a file name."
RUN_HELP = "Run ID, unique prefix, EXP@latest or EXP@best."

ExistingRun = Annotated[str, typer.Argument(metavar="ID", help=RUN_HELP)]
RunOrExperiment = Annotated[
    str, typer.Argument(metavar="RUN", help=f"{RUN_HELP} Or an experiment.")
]
ExistingRunOption = Annotated[str, typer.Option("--run-id", metavar="ID", help=RUN_HELP)]
ExperimentsDir = Annotated[
    Path, typer.Option("--experiments-dir", help="Experiments folder.", show_default=True)
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Runs folder.", show_default=True)]
SweepsDir = Annotated[
    Path, typer.Option("--sweeps-dir", help="Folder of sweeps.", show_default=True)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a config setting; repeatable."),
]
ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Use this config.toml instead of the experiment's."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Checkpoint = Annotated[
    str | None, typer.Option("--checkpoint", metavar="NAME", help=CHECKPOINT_HELP)
]
Force = Annotated[
    bool, typer.Option("--force", help="Rebuild the dataset even if it is up to date.")
]
OptionalExperiment = Annotated[
    str | None, typer.Argument(metavar="EXP", help="Experiment name; can be omitted with --config.")
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        min=1,
        max=1024,
        help="Processes on this machine that share each step; sets train.distributed.processes.",
    ),
]
RunId = Annotated[
    str | None,
    typer.Option("--run-id", metavar="ID", help="ID of the new run; an existing run is resumed."),
]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume", metavar="[ID]", help="Resume a run; without ID, the experiment's latest."
    ),
]
DatasetDir = Annotated[
    Path | None,
    typer.Option("--dataset", metavar="DIR", help="Prepared dataset of the run, if it has moved."),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="NAME",
        help="Base model (name or folder) of a finetuned run, if it has moved.",
    ),
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        say(f"transformer-playground {version('transformer-playground')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
]


def finite(value: float | None) -> float | None:
    """The value of a number option; its bounds let NaN, and without a bound infinity, pass.

    Raises:
        BadParameter: It is not a finite number.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value:g} is not a finite number.")
    return value


def with_resume_default(arguments: list[str]) -> list[str]:
    """Give a bare `--resume` a value, since Typer has no options with an optional value."""
    result = []
    for index, argument in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else "-"
        bare = argument == "--resume" and following.startswith("-")
        result.append(f"--resume={RESUME_LATEST}" if bare else argument)
    return result


# Keys are the fields of `SampleRequest`, in the order of the help text.
_OPTIONS: Final[dict[str, Any]] = {
    "prompt": typer.Option(
        "--prompt", metavar="TEXT", help="Prompt text; FILE:path reads a file, - reads stdin."
    ),
    "unconditional": typer.Option(
        "--unconditional", help="Sample without a prompt, from the start-of-text token."
    ),
    "n_samples": typer.Option("--n-samples", metavar="N", min=1, help="Number of samples."),
    "max_new_tokens": typer.Option(
        "--max-new-tokens", metavar="N", min=1, help="Maximum new tokens per sample."
    ),
    "temperature": typer.Option(
        "--temperature",
        metavar="T",
        min=0.0,
        callback=finite,
        help="Sampling temperature; 0 = greedy.",
    ),
    "top_k": typer.Option(
        "--top-k", metavar="K", min=0, help="Sample from the k most likely tokens; 0 = all."
    ),
    "top_p": typer.Option(
        "--top-p",
        metavar="P",
        callback=finite,
        help="Nucleus sampling: the smallest token set with this total probability; 1 = all.",
    ),
    "seed": typer.Option("--seed", metavar="N", min=0, help="Random seed of the sampler."),
    "checkpoint": typer.Option("--checkpoint", metavar="NAME", help=CHECKPOINT_HELP),
    "dtype": typer.Option(
        "--dtype", metavar="TYPE", help="Compute dtype: auto, float32, bfloat16 or float16."
    ),
    "quantization": typer.Option(
        "--quantization",
        metavar="TYPE",
        help="Weights of linear layers: none or int8, which is faster and less exact.",
    ),
}


def sample_options(**replaced: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's parameter `request` by the sampling options.

    The command receives them as a `SampleRequest`, together with the environment.

    Args:
        replaced: Options that replace the default ones, by field of `SampleRequest`.
    """
    options = _OPTIONS | replaced

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_request(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in options}
            if given["unconditional"] and given["prompt"] is not None:
                raise UsageError(
                    "--prompt and --unconditional are mutually exclusive.", "Give one of them."
                )
            # An absent flag keeps the value of the saved config.
            given["unconditional"] = given["unconditional"] or None
            command(**arguments, request=SampleRequest(**given, environ=os.environ))

        own = inspect.signature(command)
        kinds = {field.name: field.type for field in fields(SampleRequest)}
        parameters: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            if parameter.name != "request":
                parameters.append(parameter)
                continue
            parameters += [
                parameter.replace(
                    name=name, default=None, annotation=Annotated[kinds[name], option]
                )
                for name, option in options.items()
            ]
        with_request.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return with_request

    return decorate


def refuse_unread(context: typer.Context, unread: Mapping[str, str]) -> None:
    """Refuse options that are stated but have no effect, even if they state their default.

    Args:
        context: Context of the command.
        unread: Names of parameters that the command would not read, each with the reason, such as
            "without --ablate".

    Raises:
        UsageError: One of them is on the command line.
    """
    for name, reason in unread.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} has no effect {reason}.", f"Leave out --{flag}.")


def check_out(out: Path) -> None:
    """Refuse an `--out` that cannot be written, before the work.

    Raises:
        UsageError: It is not a file, or its folder does not exist.
    """
    # Writing replaces the path: a device or a pipe must stay.
    if out.exists() and not out.is_file():
        raise UsageError(f"--out {out} is not a file.", "Choose another file.")
    if not out.absolute().parent.is_dir():
        raise UsageError(
            f"--out {out} is in a folder that does not exist.", "Create the folder first."
        )


def read_stdin_prompt(request: SampleRequest) -> SampleRequest:
    """Read the prompt from standard input if `--prompt -` is given.

    Raises:
        PlaygroundError: Standard input is closed, not UTF-8 or too large.
    """
    if request.prompt != "-":
        return request
    from transformer_playground.generation.prompts import read_prompt

    if sys.stdin is None:
        raise UsageError("Standard input is closed.", "Use --prompt TEXT.")
    if sys.stdin.isatty():
        note("Type the prompt; press Ctrl-D on an empty line to finish.")
    text = read_prompt(sys.stdin.buffer, "the prompt on standard input")
    return replace(request, prompt=text, prompt_is_literal=True)
