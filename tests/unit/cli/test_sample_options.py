"""Sampling options: the same of every command that draws samples."""

import click
import pytest
import typer

from transformer_playground.cli.main import build_app

OPTIONS = {
    "prompt": "--prompt",
    "unconditional": "--unconditional",
    "n_samples": "--n-samples",
    "max_new_tokens": "--max-new-tokens",
    "temperature": "--temperature",
    "top_k": "--top-k",
    "top_p": "--top-p",
    "seed": "--seed",
    "checkpoint": "--checkpoint",
}


def options_of(verb: str) -> dict[str, click.Option]:
    group = typer.main.get_command(build_app())
    command = group.commands[verb]  # type: ignore[attr-defined]
    return {parameter.name: parameter for parameter in command.params}


@pytest.mark.parametrize("verb", ["sample", "generate", "compare", "report"])
def test_every_sampling_option_has_one_name_no_default_and_a_help_text(verb: str) -> None:
    options, usual = options_of(verb), options_of("sample")
    for name, flag in OPTIONS.items():
        assert options[name].opts == [flag]
        assert not options[name].required
        assert options[name].default is None
        assert options[name].help
        if name != "n_samples":
            assert options[name].help == usual[name].help
