"""Published results of each data set, from the package's `published.toml`."""

import functools
import tomllib
from pathlib import Path

from pydantic import Field

from transformer_playground.config.base import Table
from transformer_playground.errors import UsageError

WHOLE_SPLIT = "whole validation split"
"""`measured_on` of results that stand in one order with runs."""


class Published(Table):
    """A published result.

    Attributes:
        loss: In the unit of its data set.
        standard_error: Of a mean over seeds; None if it is not stated.
        seeds: Number of runs; None if it is not stated.
        measured_on: Windows or split; `WHOLE_SPLIT` is the one that runs are measured on here.
    """

    name: str
    source: str
    loss: float
    measured_on: str
    standard_error: float | None = None
    parameters: int | None = None
    seeds: int | None = None

    @property
    def is_comparable(self) -> bool:
        """Whether runs are measured on the same."""
        return self.measured_on == WHOLE_SPLIT


class Track(Table):
    """A contest of runs under limits.

    Attributes:
        experiment: The recipe to begin with.
        minutes: Training time at most, evaluations included.
        threads: CPU threads at most.
    """

    name: str
    title: str
    experiment: str
    minutes: float = Field(gt=0)
    threads: int = Field(ge=1)


class DatasetRecords(Table):
    """The results of one data set.

    Attributes:
        fingerprint: Of the prepared dataset; None where no bundled experiment prepares it.
    """

    title: str
    unit: str
    fingerprint: str | None = None
    results: tuple[Published, ...] = Field((), strict=False)
    tracks: tuple[Track, ...] = Field((), strict=False)


@functools.cache
def published() -> dict[str, DatasetRecords]:
    """All data sets by name."""
    text = Path(__file__).with_name("published.toml").read_text(encoding="utf-8")
    return {
        name: DatasetRecords.model_validate(table) for name, table in tomllib.loads(text).items()
    }


def find_dataset(name: str) -> DatasetRecords:
    """The records of a data set.

    Raises:
        UsageError: There are none of this name.
    """
    if (found := published().get(name)) is None:
        names = ", ".join(published())
        raise UsageError(f"There are no records of '{name}'.", f"There are of {names}.")
    return found


def find_track(name: str) -> tuple[str, Track]:
    """A track and the name of its data set.

    Raises:
        UsageError: There is none of this name.
    """
    tracks = [(data, track) for data, each in published().items() for track in each.tracks]
    for data, track in tracks:
        if track.name == name:
            return data, track
    names = ", ".join(track.name for _, track in tracks)
    raise UsageError(f"There is no track '{name}'.", f"There is {names}.")
