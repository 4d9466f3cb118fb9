"""The configuration of a run that goes on: its own, with what this command states laid over it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer_playground.config.layers import Layer
from transformer_playground.config.loading import LoadedConfig, combine, leaves
from transformer_playground.config.sources import environment_layers, flag_layers, read_layer
from transformer_playground.config.toml_text import toml_key, toml_value


def load_resumed_config(
    saved: Mapping[str, Any],
    current: LoadedConfig,
    *,
    stated_file: Path | None,
    overrides: Sequence[str],
    environ: Mapping[str, str],
) -> LoadedConfig:
    """Lay what this command states over the settings that a run was trained with.

    The experiment's file may have changed since; only what the command itself states changes the
    run. Where its data lies is the exception: `[prepare]` is taken as it is now, because the run
    may have moved to another machine, and the dataset's fingerprint tells whether it is the same.

    Args:
        saved: The run's saved configuration.
        current: The experiment's configuration as it is now.
        stated_file: The file given with `--config`, if any.
        overrides: `dotted.key=value` each, as given to `--set`.
        environ: Where to look for the override variables.

    Raises:
        ConfigError: With every problem that was found.
    """
    home = current.path.absolute().parent
    prepare = current.config.model_dump(mode="json", exclude_none=True)["prepare"]
    own = {table: values for table, values in _without_none(saved).items() if table != "prepare"}
    layers = [Layer("the run's config.json", home, own | {"prepare": prepare})]
    if stated_file is not None:
        layers.append(read_layer(stated_file, stated_file.absolute().parent))
    layers += environment_layers(environ)
    layers += flag_layers(overrides)
    return combine(layers, path=current.path, home=home, project=home)


def differences(resumed: LoadedConfig, current: LoadedConfig) -> Iterator[str]:
    """A sentence for each setting in which a resumed run differs from its experiment as it is."""
    now = dict(leaves(current.config.model_dump(mode="json")))
    for key, value in leaves(resumed.config.model_dump(mode="json")):
        if now.get(key) != value:
            kept, other = toml_value(value), toml_value(now.get(key))
            yield f"{toml_key(key)}: going on with {kept}; the experiment says {other}"


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in table.items()
        if value is not None
    }
