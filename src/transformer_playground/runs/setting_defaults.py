"""Settings that a run was recorded without: one that a newer version added has its default."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any


@functools.cache
def default_settings() -> Mapping[str, Any]:
    """The default of each setting by its dotted key, as a plain JSON value."""
    # Late: runs that have the same keys are told apart without the schema.
    from transformer_playground.config.loading import leaves
    from transformer_playground.config.schema import ExperimentConfig
    from transformer_playground.config.toml import toml_key

    document = ExperimentConfig().model_dump(mode="json")
    return {toml_key(key): value for key, value in leaves(document)}


def absent_settings(settings: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Defaults of those keys that a run lacks, for the tables that it has.

    Args:
        settings: Of the run, by dotted key.
        keys: Dotted keys, as of other runs; one that is no setting has no default.
    """
    absent = [key for key in keys if key not in settings]
    if not absent:
        return {}
    tables = {key.partition(".")[0] for key in settings}
    defaults = default_settings()
    return {
        key: defaults[key] for key in absent if key in defaults and key.partition(".")[0] in tables
    }
