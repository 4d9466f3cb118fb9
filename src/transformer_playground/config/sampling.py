"""The `[sample]` table of a run, with what the user changes about it for one command."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transformer_playground.config.errors import config_error, describe
from transformer_playground.config.finetuning import absolute_model_name
from transformer_playground.config.sample import SampleConfig
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.sources import (
    Layer,
    Problem,
    environment_layers,
    flag_layers,
    merge,
    validate_values,
)
from transformer_playground.config.toml import toml_key

SAMPLE_VARIABLE = "ML_PLAYGROUND_SAMPLE_OVERRIDES"
# The one setting outside `[sample]` that may be stated: where a base model lies by now.
_BASE_KEY = "hf_model.model_name"


def split_base(overrides: Sequence[str]) -> tuple[list[str], str | None]:
    """The overrides without `hf_model.model_name`, and what it says: a name or absolute path."""
    kept, base = [], None
    for override in overrides:
        key, _, value = override.partition("=")
        if key.strip() == _BASE_KEY:
            base = value.strip().strip("\"'")
        else:
            kept.append(override)
    return kept, absolute_model_name(base) if base else None


def base_override(base: str | None) -> tuple[str, ...]:
    """A base model's place as the override that says it; none for None."""
    return () if base is None else (f"{_BASE_KEY}={base}",)


def load_sample_config(
    saved: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    overrides: Sequence[str],
    environ: Mapping[str, str],
) -> SampleConfig:
    """Lay what this command asks for over a run's saved settings.

    Later wins: `saved`, the JSON object in the environment, `overrides`, `options`.

    Args:
        saved: The `[sample]` table of the run; empty for a run that has none.
        options: A `[sample]` table made of the command's own options.
        overrides: `sample.key=value` each, as given to `--set`.
        environ: Where to look for `ML_PLAYGROUND_SAMPLE_OVERRIDES`.

    Raises:
        ConfigError: With every problem that was found.
    """
    layers = [
        Layer("the run's config.json", Path.cwd(), {"sample": saved}),
        *environment_layers({SAMPLE_VARIABLE: environ.get(SAMPLE_VARIABLE, "")}),
        *flag_layers(overrides),
        Layer("the command's options", Path.cwd(), {"sample": options}),
    ]
    problems: list[Problem] = []
    for number, layer in enumerate(layers):
        layers[number], found = validate_values(layer)
        problems += found
        problems += [
            Problem(layer.name, f"{toml_key((table,))} cannot change after training.")
            for table in layer.values
            if table != "sample"
        ]
    # What belongs to training was refused above; it must not be judged as if it were trained.
    merged = merge(
        replace(layer, values={key: layer.values[key] for key in layer.values if key == "sample"})
        for layer in layers
    )
    try:
        config = ExperimentConfig.model_validate(merged.values)
    except ValidationError as error:
        raise config_error([*problems, *describe(error, merged, conflicts=True)]) from error
    if problems:
        raise config_error(problems, "Sampling takes settings of [sample] only.")
    return config.sample
