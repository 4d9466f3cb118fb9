"""Settings of an experiment that were kept, so that later edits of its files do not matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer_playground.experiments.discovery import Experiment

if TYPE_CHECKING:
    from transformer_playground.config.loading import LoadedConfig


@dataclass(frozen=True)
class KeptSettings:
    """Settings to begin with instead of the experiment's files and the environment.

    Attributes:
        settings: All of them by table, as in a run's `config.json`.
        provenance: Origin of each that is not a default.
    """

    experiment: Experiment
    settings: Mapping[str, Any]
    provenance: Mapping[str, str]

    def load(self, overrides: Sequence[str]) -> "LoadedConfig":
        """The configuration with `dotted.key=value` overrides.

        Raises:
            ConfigError: It is not valid.
        """
        # Imported late: listing experiments must not load pydantic.
        from transformer_playground.config.run_config import load_kept_config

        path = self.experiment.config_path
        return load_kept_config(self.settings, self.provenance, overrides, path=path)
