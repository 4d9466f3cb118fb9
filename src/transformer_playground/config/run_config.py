"""Configuration of an existing run: its saved settings with the overrides of one command."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transformer_playground.config.errors import config_error, validation_problems
from transformer_playground.config.finetuning import absolute_model_name, is_model_path
from transformer_playground.config.loading import LoadedConfig, combine, leaves, validate_layers
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
)
from transformer_playground.config.toml import Key, toml_key, toml_value
from transformer_playground.errors import ConfigError

# Settings of [prepare] that only name locations: these may change when a project is moved.
_LOCATIONS = frozenset({"raw_dir", "dataset_dir", "bundled", "downloads", "fetch"})
_VOCAB_SIZE: Key = ("model", "vocab_size")
_BATCH_SPLIT = ("batch_size", "grad_accum_steps")
_EVALUATION = ("eval_windows", "eval_iters")
_BASE_MODEL: Key = ("hf_model", "model_name")
_FOLDERS = frozenset({"prepare.raw_dir", "prepare.dataset_dir"})
_RECORD = "the run's config.json"
_KEPT = "the kept settings"
SAMPLE_VARIABLE = "ML_PLAYGROUND_SAMPLE_OVERRIDES"


def override_layers(
    config_file: Path | None, overrides: Sequence[str], environ: Mapping[str, str]
) -> list[Layer]:
    """Overrides of one command: the file of `--config`, environment variables and `--set`.

    Raises:
        ConfigError: One of them cannot be read.
    """
    file = [] if config_file is None else [read_layer(config_file, config_file.absolute().parent)]
    return [*file, *environment_layers(environ), *flag_layers(overrides)]


def load_resumed_config(
    record: Mapping[str, Any],
    current: LoadedConfig | None,
    overrides: Sequence[Layer],
    *,
    path: Path,
    is_dataset: Callable[[Path], bool],
) -> LoadedConfig:
    """Configuration of a resumed or branched run: its saved settings, then `overrides`.

    Edits of the experiment's file do not change existing runs. Only the folders of text, dataset
    and base model may come from the current experiment, because a project can be moved. A setting
    that no override changes keeps its recorded origin.

    Args:
        record: The run's `config.json`.
        current: The experiment's configuration now; None without one.
        overrides: See `override_layers`.
        path: Path of `config.json`.
        is_dataset: Whether a folder has the dataset of the run.

    Raises:
        ConfigError: With all problems found.
    """
    own = saved_settings(record)
    if any(_lookup(layer.values, ("train", "data"), None) is not None for layer in overrides):
        _fix_eval_windows(own)
    if current is not None:
        path = current.path
        _relocate(own, current, is_dataset)
    home = path.absolute().parent
    # The same size in other words: `check_overrides` rejects any other.
    stated = [_without(layer, _VOCAB_SIZE) for layer in overrides]
    loaded = combine([Layer(_RECORD, home, own), *stated], path=path, home=home, project=home)
    return replace(loaded, provenance=dict(_inherited(loaded, current, record)))


def load_kept_config(
    settings: Mapping[str, Any],
    provenance: Mapping[str, str],
    overrides: Sequence[str],
    *,
    path: Path,
) -> LoadedConfig:
    """Configuration of a new run from settings that were kept, then `overrides`.

    Args:
        settings: All settings by table, as in a run's `config.json`.
        provenance: Origin of each that is not a default.
        overrides: `dotted.key=value` each.
        path: The configuration file that they were read from.

    Raises:
        ConfigError: With all problems found.
    """
    home = path.absolute().parent
    layers = [Layer(_KEPT, home, _without_none(settings)), *flag_layers(overrides)]
    loaded = combine(layers, path=path, home=home, project=home)
    origins = {
        key: provenance.get(key, origin) if origin == _KEPT else origin
        for key, origin in loaded.provenance.items()
    }
    return replace(loaded, provenance=origins)


def saved_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in a run's `config.json`, without unset ones.

    Earlier versions filled in the vocabulary size on resume; it counts as unset.
    """
    own, origin = _without_none(record["config"]), record.get("provenance")
    origins = origin if isinstance(origin, Mapping) else {}
    is_filled_in = origins.get(toml_key(_VOCAB_SIZE), _RECORD) == _RECORD
    size = _lookup(own, _VOCAB_SIZE, None)
    if is_filled_in and size is not None and size == saved_vocab_size(record):
        del own["model"]["vocab_size"]
    return own


def _relocate(
    own: dict[str, Any], current: LoadedConfig, is_dataset: Callable[[Path], bool]
) -> None:
    """Replace the folders in saved settings by those of a project that was moved, in place."""
    prepare, now = own.get("prepare", {}), current.config.prepare
    if isinstance(prepare, Mapping):
        known, raw = prepare.get("dataset_dir"), prepare.get("raw_dir")
        folders = [now.dataset_dir, *([Path(known)] if isinstance(known, str) else [])]
        dataset_dir = next(filter(is_dataset, folders), now.dataset_dir)
        moved = {"dataset_dir": str(dataset_dir)}
        # The text of an existing dataset is what the run recorded, not what the file now names.
        is_kept = isinstance(raw, str) and Path(raw).is_dir() and is_dataset(dataset_dir)
        moved |= {} if is_kept else {"raw_dir": str(now.raw_dir)}
        own["prepare"] = {**prepare, **moved}
    base, base_now = str(_lookup(own, _BASE_MODEL, "")), current.config.hf_model.model_name
    is_moved = is_model_path(base) and is_model_path(base_now)
    if is_moved and Path(base).name == Path(base_now).name:
        own["hf_model"] = own["hf_model"] | {"model_name": base_now}


def _inherited(
    loaded: LoadedConfig, current: LoadedConfig | None, record: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Origins of a resumed configuration: of an override, or as recorded with the run."""
    recorded = record.get("provenance")
    own = recorded if isinstance(recorded, Mapping) else {}
    for key, origin in loaded.provenance.items():
        if origin != _RECORD:
            yield key, origin
        elif key in own:
            yield key, str(own[key])
        elif key not in _FOLDERS:
            yield key, _RECORD
        elif current is not None and key in current.provenance:
            yield key, current.provenance[key]


def _without(layer: Layer, key: Key) -> Layer:
    table, name = key
    values = layer.values.get(table)
    if not isinstance(values, Mapping) or name not in values:
        return layer
    rest = {each: value for each, value in values.items() if each != name}
    return replace(layer, values={**layer.values, table: rest})


def _fix_eval_windows(saved: dict[str, Any]) -> None:
    """Replace a saved `eval_iters` by its windows, which another batch size must not change."""
    runtime = _lookup(saved, ("train", "runtime"), {})
    sizes = [_lookup(saved, ("train", "data", name), 1) for name in _BATCH_SPLIT]
    counts = [_lookup(saved, ("train", "runtime", "eval_iters"), None), *sizes]
    if all(isinstance(count, int) for count in counts):
        del runtime["eval_iters"]
        runtime["eval_windows"] = math.prod(counts)


def check_overrides(
    saved: Mapping[str, Any],
    overrides: Sequence[Layer],
    *,
    vocab_size: int | None = None,
    is_branch: bool = False,
) -> None:
    """Reject an override that changes what is fixed for a run.

    Fixed are its kind, its model or adapters, its dataset and, unless it is branched, its
    optimizer and evaluation windows. An omitted vocabulary size stands for `vocab_size`, that of
    the run's dataset.

    Raises:
        ConfigError: For the first such override.
    """
    fixed: dict[Key, str] = {("experiment", "kind"): "kind", ("prepare",): "dataset"}
    is_lora = _lookup(saved, ("experiment", "kind"), "gpt") == "lora"
    fixed |= {("peft",): "adapters"} if is_lora else {("model",): "model"}
    if not is_branch:
        fixed[("train", "optim", "optimizer")] = "optimizer"
        fixed |= {("train", "runtime", name): "evaluation windows" for name in _EVALUATION}
    merged = merge(overrides)
    for key, value in leaves(merged.values):
        what = next((name for prefix, name in fixed.items() if key[: len(prefix)] == prefix), None)
        entry, layer = find_field(key), merged.origin(key)
        # Unknown settings are reported by the validation.
        if what is None or entry is None or layer is None or entry.is_table:
            continue
        if key[0] == "prepare" and key[1] in _LOCATIONS:
            continue
        own = _lookup(saved, key, entry.default)
        # A list of one name may be written without brackets.
        new = [value] if isinstance(own, list) and isinstance(value, str) else value
        if _effective(key, new, vocab_size) != _effective(key, own, vocab_size):
            raise ConfigError(
                f"{layer.name}: {toml_key(key)} = {toml_value(value)} cannot be set: a run keeps "
                f"the {what} it was trained with ({toml_value(own)}); start a new run to train "
                "another."
            )


def changed_settings(
    record: Mapping[str, Any], resumed: LoadedConfig, overrides: Sequence[Layer]
) -> Iterator[str]:
    """One sentence for each setting that the overrides of a resume or branch change."""
    saved, vocab_size = record["config"], saved_vocab_size(record)
    stated = merge(overrides).origins
    for key, value in leaves(resumed.config.model_dump(mode="json")):
        entry = find_field(key)
        old = _lookup(saved, key, None if entry is None else entry.default)
        is_equal = _effective(key, value, vocab_size) == _effective(key, old, vocab_size)
        if key in stated and not is_equal:
            yield f"{toml_key(key)}: {toml_value(value)} instead of the run's {toml_value(old)}"


def saved_vocab_size(record: Mapping[str, Any]) -> int | None:
    """Vocabulary size of the dataset in a run's `config.json`."""
    dataset = record.get("dataset")
    return dataset.get("vocab_size") if isinstance(dataset, Mapping) else None


def _lookup(table: Mapping[str, Any], key: Key, default: Any) -> Any:
    value: Any = table
    for part in key:
        if not isinstance(value, Mapping) or part not in value:
            return list(default) if isinstance(default, tuple) else default
        value = value[part]
    return value


def _effective(key: Key, value: Any, vocab_size: int | None) -> Any:
    """The value used in training: an omitted vocabulary size is that of the dataset."""
    return vocab_size if value is None and key == _VOCAB_SIZE else value


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in table.items()
        if value is not None
    }


def split_base_model(overrides: Sequence[str]) -> tuple[list[str], str | None]:
    """Separate `hf_model.model_name` from the overrides; a folder becomes an absolute path."""
    kept, base = [], None
    for override in overrides:
        key, _, value = override.partition("=")
        if key.strip() == toml_key(_BASE_MODEL):
            base = value.strip().strip("\"'")
        else:
            kept.append(override)
    return kept, absolute_model_name(base) if base else None


def base_model_override(base: str | None) -> tuple[str, ...]:
    """The override that sets the base model; empty for None."""
    return () if base is None else (f"{toml_key(_BASE_MODEL)}={base}",)


def load_sample_config(
    saved: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    overrides: Sequence[str],
    environ: Mapping[str, str],
) -> SampleConfig:
    """Sampling settings of a run; later sources win in the order of the arguments below.

    Args:
        saved: The `[sample]` table of the run; empty if it has none.
        environ: Environment with `ML_PLAYGROUND_SAMPLE_OVERRIDES`.
        overrides: `--set` flags of the form `sample.key=value`.
        options: A `[sample]` table from the command's own options.

    Raises:
        ConfigError: With all problems found.
    """
    layers = [
        Layer(_RECORD, Path.cwd(), {"sample": saved}),
        *environment_layers({SAMPLE_VARIABLE: environ.get(SAMPLE_VARIABLE, "")}),
        *flag_layers(overrides),
        Layer("the command's options", Path.cwd(), {"sample": options}),
    ]
    layers, problems = validate_layers(layers)
    problems += [
        Problem(layer.name, f"{toml_key((table,))} cannot change after training.")
        for layer in layers
        for table in layer.values
        if table != "sample"
    ]
    # Other tables were reported above and must not cause further errors.
    merged = merge(
        replace(layer, values={key: layer.values[key] for key in layer.values if key == "sample"})
        for layer in layers
    )
    try:
        config = ExperimentConfig.model_validate(merged.values)
    except ValidationError as error:
        raise config_error([*problems, *validation_problems(error, merged)]) from error
    if problems:
        raise config_error(problems, "Only settings of [sample] apply to sampling.")
    return config.sample
