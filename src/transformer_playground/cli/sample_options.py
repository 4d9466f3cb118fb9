"""Sampling options of `tp sample`, `tp generate`, `tp compare` and `tp report`."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Annotated, Any, Final

import typer

from transformer_playground.cli.output import note
from transformer_playground.errors import UsageError
from transformer_playground.runs.generation_request import SampleRequest

STANDARD_INPUT = "-"
"""A `--prompt` that is read from standard input."""

# By the field of `SampleRequest` that each option fills, in the order of the help text.
_OPTIONS: Final[dict[str, Any]] = {
    "prompt": typer.Option("--prompt", help="Prompt text; FILE:path reads a file, - reads stdin."),
    "unconditional": typer.Option(
        "--unconditional", help="Sample without a prompt, from the start-of-text token."
    ),
    "n_samples": typer.Option("--n-samples", min=1, help="Number of samples."),
    "max_new_tokens": typer.Option(
        "--max-new-tokens", min=1, help="Maximum new tokens per sample."
    ),
    "temperature": typer.Option("--temperature", min=0.0, help="Sampling temperature; 0 = greedy."),
    "top_k": typer.Option("--top-k", min=0, help="Sample from the k likeliest tokens; 0 = all."),
    "top_p": typer.Option(
        "--top-p", help="Sample from the fewest tokens with this total probability; 1 = all."
    ),
    "seed": typer.Option(
        "--seed", min=0, help="Random seed; the same seed gives the same samples."
    ),
    "checkpoint": typer.Option("--checkpoint", help="best, last, auto or a file name."),
}


def sample_options(**replaced: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's parameter `request` by the sampling options.

    The command is given the `SampleRequest` that they state, with the environment in it.

    Args:
        replaced: By field, options that stand instead of the usual ones.
    """
    options = _OPTIONS | replaced

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_request(**arguments: Any) -> None:
            stated = {name: arguments.pop(name) for name in options}
            if stated["unconditional"] and stated["prompt"] is not None:
                raise UsageError(
                    "--prompt and --unconditional exclude each other.", "Give one of them."
                )
            # A flag can only be given, so False says nothing.
            stated["unconditional"] = stated["unconditional"] or None
            command(**arguments, request=SampleRequest(**stated, environ=os.environ))

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


def with_standard_input(request: SampleRequest) -> SampleRequest:
    """The request with its prompt read from standard input if it says so.

    Raises:
        PlaygroundError: It is closed, not UTF-8, or too large.
    """
    if request.prompt != STANDARD_INPUT:
        return request
    from transformer_playground.generation.prompts import read_prompt

    if sys.stdin is None:
        raise UsageError("Standard input is closed.", "Give the prompt as --prompt TEXT.")
    if sys.stdin.isatty():
        note("type the prompt; Ctrl-D on an empty line ends it")
    text = read_prompt(sys.stdin.buffer, "the prompt on standard input")
    return replace(request, prompt=text, prompt_is_literal=True)
