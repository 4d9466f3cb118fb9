"""What a sweep trains: its settings, as a strict TOML file in the sweep's folder."""

import errno
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, ValidationError, model_validator

from transformer_playground.config.base import Strings, Table, conflict, setting
from transformer_playground.config.sources import read_layer
from transformer_playground.config.toml import shortened, toml_string, toml_value
from transformer_playground.errors import ConfigError, UsageError, translate_os_errors
from transformer_playground.files import (
    display_path,
    fsync_folder,
    modified,
    random_hex,
    remove_abandoned,
    replace_text,
)
from transformer_playground.sweeps.axes import Axis, Values, axis_from_toml, axis_to_toml
from transformer_playground.sweeps.base import Base, load_base, save_base
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.listed import (
    axes_of,
    combination_lines,
    combinations_from_toml,
)

MOST_RUNS = 10_000

Method = Literal["grid", "list", "random", "tpe"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_STAGED = re.compile(rf"\.{_ID.pattern}\.[0-9a-f]{{8}}")
_STAMP = "%Y%m%d-%H%M%S"
# TOML has no tuples.
_Seeds = Annotated[tuple[int, ...], Strict(False)]


class Halving(Table):
    """Successive halving: see `sweeps.halving`.

    Attributes:
        steps: The first rung: steps after which the first combinations are out.
        factor: One of so many combinations goes on, to so many times as many steps.
    """

    steps: int = setting(..., "Steps of the first rung.", ge=1)
    factor: int = setting(3, "One of so many combinations goes on.", ge=2)

    def rungs(self, max_iters: int) -> tuple[int, ...]:
        """The steps of all rungs; the end of training follows."""
        found, rung = list[int](), self.steps
        while rung < max_iters:
            found.append(rung)
            rung *= self.factor
        return tuple(found)


class _File(Table):
    """`sweep.toml`."""

    experiment: str = setting("", "Experiment that all runs train.")
    created: str = setting(
        "", "Local time of creation, part of the runs' ids.", pattern=r"\d{8}-\d{6}"
    )
    method: Method = setting(
        "grid",
        "grid = all combinations of values; list = those of [[combinations]]; random = drawn at "
        "random; tpe = chosen by Optuna's tree-structured Parzen estimator from the results.",
    )
    seeds: _Seeds = setting((), "Seeds; each combination is trained with each.")
    runs: int | None = setting(
        None, "Number of combinations of random and tpe.", ge=1, le=MOST_RUNS
    )
    draw_seed: int = setting(0, "Seed of the random draws.", ge=0)
    settings: Strings = setting((), "Settings of all runs, as in --set.")
    sequential: bool = setting(False, "Train no further seeds once the best one is clear.")
    halving: Halving | None = setting(None, "Successive halving: steps of the first rung, factor.")
    config: str = setting("", "Configuration file instead of the experiment's; empty for that.")
    axes: dict[str, Any] = setting({}, "Values of each setting that varies.")
    combinations: tuple[dict[str, Any], ...] = Field(
        (), strict=False, description="Settings and values of each combination (method = list)."
    )

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if (self.method == "list") != bool(self.combinations) or (
            self.method == "list" and self.axes
        ):
            raise conflict(
                "method = 'list' and [[combinations]] belong together, without [axes]",
                "combinations",
            )
        if self.method in ("random", "tpe") and self.runs is None:
            raise conflict(
                f"method = '{self.method}' needs runs, the number of combinations", "runs"
            )
        if self.method == "tpe" and self.halving is not None:
            raise conflict(
                "halving needs all combinations at the start, not method = 'tpe'", "halving"
            )
        if self.sequential and (self.method == "tpe" or self.halving is not None):
            raise conflict("sequential works with neither method = 'tpe' nor halving", "sequential")
        if self.method in ("grid", "list") and self.runs is not None:
            raise conflict(
                f"runs has no effect with method = '{self.method}', which trains all", "runs"
            )
        return self


@dataclass(frozen=True)
class Sweep:
    """A sweep: which runs it trains.

    Attributes:
        sweep_id: Name of its folder.
        created: Local time of creation as in run ids, such as 20260131-235959.
        settings: Overrides of all runs.
        seeds: Seeds with which each combination of the axes is trained.
        runs: Number of combinations that are drawn or chosen; None for all of a grid.
        halving: Successive halving; None = every run is trained to its end.
        sequential: No further seeds are trained once the best combination is clear.
        root: Folder of the sweep, where a search keeps its journal; None before it is saved.
        base: The settings that its runs begin with; None before they are kept.
        listed: The combinations of method "list"; `axes` then has all their values.
    """

    sweep_id: str
    experiment: str
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    created: str = field(default_factory=lambda: datetime.now().astimezone().strftime(_STAMP))
    method: Method = "grid"
    runs: int | None = None
    draw_seed: int = 0
    settings: tuple[str, ...] = ()
    config: Path | None = None
    halving: Halving | None = None
    sequential: bool = False
    root: Path | None = field(default=None, compare=False)
    base: Base | None = field(default=None, compare=False)
    listed: tuple[Values, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Dotted keys of the settings that vary."""
        return tuple(axis.key for axis in self.axes)


def new_sweep_id(experiment: str) -> str:
    """`<experiment>-<4 hex>`."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment).lstrip("._-")[:60] or "sweep"
    return f"{stem}-{random_hex(2)}"


def check_sweep_id(name: str) -> str:
    """Return `name` if it can be the name of a sweep.

    Raises:
        UsageError: It cannot.
    """
    if not _ID.fullmatch(name):
        raise UsageError(
            f"'{name}' is not a name of a sweep.",
            "Use up to 80 letters, digits, dots, dashes and underscores; the first must be a "
            "letter or digit.",
        )
    return name


def save_sweep(sweeps_dir: Path, sweep: Sweep) -> SweepFolder:
    """Write a new sweep.

    Raises:
        UsageError: There is a sweep of this name, or another folder.
        ConfigError: OSError while writing.
    """
    folder = SweepFolder(sweeps_dir / check_sweep_id(sweep.sweep_id))
    # A folder under the final name is complete, whenever the process is killed.
    staged = SweepFolder(sweeps_dir / f".{sweep.sweep_id}.{random_hex(4)}")
    with translate_os_errors(ConfigError, f"The sweep cannot be written to {folder.root}"):
        sweeps_dir.mkdir(parents=True, exist_ok=True)
        remove_unfinished(sweeps_dir)
        try:
            staged.root.mkdir()
            if sweep.base is not None:
                save_base(staged, sweep.base)
            replace_text(staged.spec_path, _as_toml(sweep))
            _put(staged, folder)
        finally:
            shutil.rmtree(staged.root, ignore_errors=True)
    return folder


def write_sweep(folder: SweepFolder, sweep: Sweep) -> None:
    """Replace the file of a saved sweep; comments in it are lost.

    Raises:
        ConfigError: OSError while writing; the file is unchanged.
    """
    with translate_os_errors(ConfigError, f"{folder.spec_path} cannot be written"):
        replace_text(folder.spec_path, _as_toml(sweep))


def remove_unfinished(sweeps_dir: Path) -> None:
    """Remove what was left by processes that were killed while they wrote a new sweep."""
    remove_abandoned(sweeps_dir, _STAGED)


def _put(staged: SweepFolder, folder: SweepFolder) -> None:
    """Rename the folder of a sweep to a name that is free, or that of an empty folder."""
    try:
        staged.root.rename(folder.root)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        name, sweeps_dir = folder.root.name, folder.root.parent
        if folder.spec_path.exists():
            raise UsageError(
                f"There is already a sweep '{name}' in {sweeps_dir}.",
                f"Go on with it: tp sweep run {name}. Or choose another --name.",
            ) from None
        raise UsageError(
            f"{folder.root} exists, but is no sweep: it has no {folder.spec_path.name}.",
            "Delete it, or choose another --name.",
        ) from None
    try:
        fsync_folder(folder.root.parent)
    except OSError:
        # It is not known whether it would last.
        shutil.rmtree(folder.root)
        raise


def load_sweep(folder: SweepFolder) -> Sweep:
    """Read the sweep of a folder.

    Raises:
        ConfigError: The file is not that of a sweep; the message names the key and the value.
    """
    path = folder.spec_path
    values = read_layer(path, folder.root).values
    name = display_path(path)
    try:
        file = _File.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            raise ConfigError(f"{name}: unknown key {key}.", _known_keys()) from error
        what = f"{key} = {shortened(toml_value(fault['input']))}: " if key else ""
        raise ConfigError(f"{name}: {what}{fault['msg']}.") from error
    missing = [
        key
        for key in ("experiment", "created", "seeds", "axes")
        if not getattr(file, key)
        and not (key == "experiment" and file.config)
        # Seeds alone may vary: then the table is there, but empty.
        and not (key == "axes" and (file.combinations or "axes" in values))
    ]
    if missing:
        raise ConfigError(f"{name}: {missing[0]} is missing.", _known_keys())
    if len(set(file.seeds)) < len(file.seeds):
        raise ConfigError(f"{name}: seeds holds a seed twice.")
    try:
        listed = combinations_from_toml(file.combinations)
        stated = tuple(axis_from_toml(key, value) for key, value in file.axes.items())
        axes = axes_of(listed) if listed else stated
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.message}", error.hint) from error
    base = load_base(folder)
    if base is not None:
        try:
            config = str(Path(file.config).absolute()) if file.config else ""
            base.check(file.experiment, config, file.settings)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error.message}", error.hint) from error
    return Sweep(
        folder.root.name,
        file.experiment,
        axes,
        file.seeds,
        file.created,
        file.method,
        file.runs,
        file.draw_seed,
        file.settings,
        Path(file.config) if file.config else None,
        file.halving,
        file.sequential,
        folder.root,
        base,
        listed,
    )


def list_sweeps(sweeps_dir: Path) -> list[SweepFolder]:
    """All folders with a sweep, newest first by name of their file's time; [] without any."""
    try:
        with os.scandir(sweeps_dir) as entries:
            names = [entry.name for entry in entries if _ID.fullmatch(entry.name)]
    except OSError:
        return []
    folders = [SweepFolder(sweeps_dir / name) for name in names]
    found = [folder for folder in folders if folder.spec_path.is_file()]
    # One may vanish meanwhile.
    return sorted(found, key=lambda folder: modified(folder.spec_path) or 0.0, reverse=True)


def find_sweep(sweeps_dir: Path, name: str) -> SweepFolder:
    """The folder of a sweep by its id or a unique beginning of it.

    Raises:
        UsageError: No sweep or several match.
    """
    folders = list_sweeps(sweeps_dir)
    exact = [folder for folder in folders if folder.root.name == name]
    matching = exact or [each for each in folders if name and each.root.name.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(each.root.name for each in (matching or folders)[:5])
    if matching:
        raise UsageError(f"'{name}' matches several sweeps: {names}.", "Use a longer prefix.")
    hint = f"Sweeps: {names}." if names else "Write one: tp sweep new EXP --set key=value,value"
    raise UsageError(f"There is no sweep '{name}' in {sweeps_dir}.", hint)


def _known_keys() -> str:
    return f"A sweep has {', '.join(_File.model_fields)}."


def _as_toml(sweep: Sweep) -> str:
    lines = [
        f"experiment = {toml_string(sweep.experiment)}",
        f"created = {toml_string(sweep.created)}",
        f"method = {toml_string(sweep.method)}",
        f"seeds = {toml_value(list(sweep.seeds))}",
    ]
    if sweep.runs is not None:
        lines += [f"runs = {sweep.runs}", f"draw_seed = {sweep.draw_seed}"]
    lines.append(f"settings = {toml_value(list(sweep.settings))}")
    if sweep.sequential:
        lines.append("sequential = true")
    if sweep.halving is not None:
        halving = {"steps": sweep.halving.steps, "factor": sweep.halving.factor}
        lines.append(f"halving = {toml_value(halving)}")
    if sweep.config is not None:
        lines.append(f"config = {toml_string(str(sweep.config.absolute()))}")
    if sweep.listed:
        return "\n".join([*lines, *combination_lines(sweep.listed)]) + "\n"
    lines += ["", "[axes]", *_axis_lines(sweep.axes)]
    return "\n".join(lines) + "\n"


def _axis_lines(axes: Sequence[Axis]) -> list[str]:
    return [f"{toml_string(axis.key)} = {toml_value(axis_to_toml(axis))}" for axis in axes]
