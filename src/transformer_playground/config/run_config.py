"""The settings of a resumed or branched run: its own, overridden by what the user states."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transformer_playground.config.errors import config_error, validation_problems
from transformer_playground.config.finetuning import absolute_model_name, is_model_path
from transformer_playground.config.loading import LoadedConfig, combine, leaves
from transformer_playground.config.reference import find_field
from transformer_playground.config.sample import SampleConfig
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.sources import (
    Layer,
    Problem,
    environment_layers,
    flag_layers,
    merge,
    read_layer,
    validate_values,
)
from transformer_playground.config.toml import Key, toml_key, toml_value
from transformer_playground.errors import ConfigError

# Where the text comes from and where the dataset lies: these may change when a run moves.
_PLACES = frozenset({"raw_dir", "dataset_dir", "bundled", "downloads", "fetch"})
_VOCAB_SIZE: Key = ("model", "vocab_size")
_BASE: Key = ("hf_model", "model_name")


def override_layers(
    stated_file: Path | None, overrides: Sequence[str], environ: Mapping[str, str]
) -> list[Layer]:
    """What the user states: the file given with `--config`, environment variables and `--set`.

    Raises:
        ConfigError: One of them cannot be read.
    """
    file = [] if stated_file is None else [read_layer(stated_file, stated_file.absolute().parent)]
    return [*file, *environment_layers(environ), *flag_layers(overrides)]


def load_resumed_config(
    saved: Mapping[str, Any], current: LoadedConfig, stated: Sequence[Layer]
) -> LoadedConfig:
    """Override the saved settings of a run by what the user states now.

    An edit of the experiment's file changes no existing run. It only says where text, dataset and
    base model lie now, for the run may have moved: fingerprints tell whether they are the same.

    Raises:
        ConfigError: With every problem that was found.
    """
    home = current.path.absolute().parent
    own, now = _without_none(saved), current.config.model_dump(mode="json")
    if isinstance(prepare := own.get("prepare", {}), Mapping):
        kept = {name: value for name, value in prepare.items() if name not in _PLACES}
        own["prepare"] = kept | _without_none({name: now["prepare"][name] for name in _PLACES})
    base, base_now = (str(_lookup(table, _BASE, "")) for table in (own, now))
    if _is_moved(base, base_now):
        own["hf_model"] = own["hf_model"] | {"model_name": base_now}
    layers = [Layer("the run's config.json", home, own), *stated]
    return combine(layers, path=current.path, home=home, project=home)


def check_overrides(
    saved: Mapping[str, Any],
    stated: Sequence[Layer],
    *,
    vocab_size: int | None = None,
    is_branch: bool = False,
) -> None:
    """Refuse a stated setting that differs from what a run cannot change.

    That is its kind, its model or adapters, its dataset and, unless it is branched, its optimizer.
    `vocab_size` is that of the run's dataset, for which an omitted one stands.

    Raises:
        ConfigError: With the first such setting.
    """
    kept: dict[Key, str] = {("experiment", "kind"): "kind", ("prepare",): "dataset"}
    is_lora = _lookup(saved, ("experiment", "kind"), "gpt") == "lora"
    kept |= {("peft",): "adapters"} if is_lora else {("model",): "model"}
    kept |= {} if is_branch else {("train", "optim", "optimizer"): "optimizer"}
    merged = merge(stated)
    for key, value in leaves(merged.values):
        what = next((word for prefix, word in kept.items() if key[: len(prefix)] == prefix), None)
        entry, layer = find_field(key), merged.origin(key)
        # What is no setting is for the validation to report.
        if what is None or entry is None or layer is None or entry.is_table:
            continue
        if key[0] == "prepare" and key[1] in _PLACES:
            continue
        own = _lookup(saved, key, entry.default)
        # A list of one name may be written without brackets.
        new = [value] if isinstance(own, list) and isinstance(value, str) else value
        if _filled_in(key, new, vocab_size) != _filled_in(key, own, vocab_size):
            raise ConfigError(
                f"{layer.name}: {toml_key(key)} = {toml_value(value)} cannot be set: a run keeps "
                f"the {what} it was trained with ({toml_value(own)}); start a new run to train "
                "another."
            )


def changed_settings(
    resumed: LoadedConfig, current: LoadedConfig, vocab_size: int | None = None
) -> Iterator[str]:
    """A sentence for each setting in which a resumed run differs from its experiment as it is."""
    now = dict(leaves(current.config.model_dump(mode="json")))
    for key, value in leaves(resumed.config.model_dump(mode="json")):
        if _filled_in(key, value, vocab_size) != _filled_in(key, now.get(key), vocab_size):
            kept, other = toml_value(value), toml_value(now.get(key))
            yield f"{toml_key(key)}: keeping the run's {kept} (the experiment says {other})"


def saved_vocab_size(record: Mapping[str, Any]) -> int | None:
    """The vocabulary size of the dataset that a run's `config.json` tells of."""
    dataset = record.get("dataset")
    return dataset.get("vocab_size") if isinstance(dataset, Mapping) else None


def _is_moved(then: str, now: str) -> bool:
    """Whether two paths may name one model folder that has moved."""
    return is_model_path(then) and is_model_path(now) and Path(then).name == Path(now).name


def _lookup(table: Mapping[str, Any], key: Key, default: Any) -> Any:
    value: Any = table
    for part in key:
        if not isinstance(value, Mapping) or part not in value:
            return list(default) if isinstance(default, tuple) else default
        value = value[part]
    return value


def _filled_in(key: Key, value: Any, vocab_size: int | None) -> Any:
    """The value as training takes it: an omitted vocabulary size is that of the dataset."""
    return vocab_size if value is None and key == _VOCAB_SIZE else value


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in table.items()
        if value is not None
    }


SAMPLE_VARIABLE = "ML_PLAYGROUND_SAMPLE_OVERRIDES"
# The one setting outside `[sample]` that may be stated: where a base model lies by now.
_BASE_KEY = "hf_model.model_name"


def split_base_model(overrides: Sequence[str]) -> tuple[list[str], str | None]:
    """The overrides without `hf_model.model_name`, and what it says: a name or absolute path."""
    kept, base = [], None
    for override in overrides:
        key, _, value = override.partition("=")
        if key.strip() == _BASE_KEY:
            base = value.strip().strip("\"'")
        else:
            kept.append(override)
    return kept, absolute_model_name(base) if base else None


def base_model_override(base: str | None) -> tuple[str, ...]:
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
        raise config_error(
            [*problems, *validation_problems(error, merged, conflicts=True)]
        ) from error
    if problems:
        raise config_error(problems, "Sampling takes settings of [sample] only.")
    return config.sample
