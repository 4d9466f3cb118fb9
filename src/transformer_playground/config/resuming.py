"""The settings of a resumed or branched run: its own, overridden by what the user states."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer_playground.config.finetuning import is_model_path
from transformer_playground.config.introspection import Key, find_entry
from transformer_playground.config.loading import LoadedConfig, combine, leaves
from transformer_playground.config.sources import (
    Layer,
    environment_layers,
    flag_layers,
    merge,
    read_layer,
)
from transformer_playground.config.toml import toml_key, toml_value
from transformer_playground.errors import ConfigError

# Where the text comes from and where the dataset lies: these may change when a run moves.
_PLACES = frozenset({"raw_dir", "dataset_dir", "bundled", "downloads", "fetch"})
_VOCAB_SIZE: Key = ("model", "vocab_size")
_BASE: Key = ("hf_model", "model_name")


def stated_layers(
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


def check_stated(
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
        entry, layer = find_entry(key), merged.origin(key)
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


def differences(
    resumed: LoadedConfig, current: LoadedConfig, vocab_size: int | None = None
) -> Iterator[str]:
    """A sentence for each setting in which a resumed run differs from its experiment as it is."""
    now = dict(leaves(current.config.model_dump(mode="json")))
    for key, value in leaves(resumed.config.model_dump(mode="json")):
        if _filled_in(key, value, vocab_size) != _filled_in(key, now.get(key), vocab_size):
            kept, other = toml_value(value), toml_value(now.get(key))
            yield f"{toml_key(key)}: keeping the run's {kept} (the experiment says {other})"


def recorded_vocab_size(record: Mapping[str, Any]) -> int | None:
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
