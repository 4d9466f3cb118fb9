"""The options of the verbs that draw text, and what they ask for."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from transformer_playground.cli.console import is_terminal, note
from transformer_playground.errors import UsageError
from transformer_playground.runs.layout import RunFolder

STANDARD_INPUT = "-"
"""A `--prompt` that is read from standard input."""

Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt", help="Text to go on from; FILE:path reads it, - reads standard input."
    ),
]
Unconditional = Annotated[bool, typer.Option("--unconditional", help="Start as a document starts.")]
NSamples = Annotated[
    int | None, typer.Option("--n-samples", min=1, help="How many samples to draw.")
]
MaxNewTokens = Annotated[
    int | None, typer.Option("--max-new-tokens", min=1, help="Most tokens of one sample.")
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", min=0.0, help="Divides the logits; 0 = always the likeliest."),
]
TopK = Annotated[
    int | None, typer.Option("--top-k", min=0, help="Keep the k likeliest tokens; 0 = all.")
]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", help="Keep the fewest tokens with this probability; 1 = all."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Same seed, same samples, however many.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the samples there, as JSON lines."),
]


@dataclass(frozen=True)
class Decoding:
    """What was given on the command line; None is left to the run's saved config."""

    prompt: str | None
    unconditional: bool
    n_samples: int | None
    max_new_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    seed: int | None
    checkpoint: str | None
    overrides: Sequence[str]
    out: Path | None
    json_output: bool

    def check(self) -> None:
        """Refuse what cannot be meant, before anything slow begins.

        Raises:
            UsageError: Options exclude each other, or `out` cannot be written.
        """
        if self.unconditional and self.prompt is not None:
            raise UsageError(
                "--prompt and --unconditional exclude each other.", "Give one of them."
            )
        if self.out is not None:
            _check_out(self.out)


def draw_from(run: RunFolder, decoding: Decoding) -> None:
    """Draw samples and print them, or write them to a file.

    Raises:
        PlaygroundError: The prompt, a setting or the run cannot be used.
    """
    # torch comes after everything that can fail without it.
    decoding.check()
    text = read_standard_input() if decoding.prompt == STANDARD_INPUT else None
    from transformer_playground.runs.sampling_plan import SampleRequest, plan_sampling

    request = SampleRequest(
        checkpoint=decoding.checkpoint,
        prompt=text,
        options=_options(decoding),
        overrides=decoding.overrides,
        environ=os.environ,
    )
    plan = plan_sampling(run, request)
    from transformer_playground.cli.sampling import print_samples, write_samples

    if decoding.out is not None:
        write_samples(plan, decoding.out, json_output=decoding.json_output)
    else:
        print_samples(plan, json_output=decoding.json_output, stream=is_terminal())


def _options(decoding: Decoding) -> dict[str, Any]:
    """A `[sample]` table of what was given."""
    from_here = decoding.prompt is None or decoding.prompt == STANDARD_INPUT
    sample = {
        "start": None if from_here else decoding.prompt,
        "unconditional": None if decoding.prompt is None else False,
        "num_samples": decoding.n_samples,
        "max_new_tokens": decoding.max_new_tokens,
        "temperature": decoding.temperature,
        "top_k": decoding.top_k,
        "top_p": decoding.top_p,
    }
    if decoding.unconditional:
        sample["unconditional"] = True
    return {
        "sample": {key: value for key, value in sample.items() if value is not None},
        "runtime": {} if decoding.seed is None else {"seed": decoding.seed},
    }


def read_standard_input() -> str:
    """The prompt, from standard input to its end.

    Raises:
        PlaygroundError: It is closed, not UTF-8, or too large.
    """
    from transformer_playground.sampling.prompts import read_prompt

    if sys.stdin is None:
        raise UsageError("Standard input is closed.", "Give the prompt as --prompt TEXT.")
    if sys.stdin.isatty():
        note("type the prompt; Ctrl-D on an empty line ends it")
    return read_prompt(sys.stdin.buffer, "the prompt on standard input")


def _check_out(out: Path) -> None:
    # A device or a pipe would be replaced by a file.
    if out.exists() and not out.is_file():
        raise UsageError(f"--out {out} is not a file.", "Name a file to write the samples to.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out} is in a folder that does not exist.", "Make it first.")
