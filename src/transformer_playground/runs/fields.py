"""Run fields: columns of run lists, which can also be filtered and sorted by."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from transformer_playground.config.toml import toml_value
from transformer_playground.errors import UsageError
from transformer_playground.formatting import (
    VALUE_WIDTH,
    age_text,
    count_text,
    date_text,
    duration_text,
    loss_text,
    power_text,
    setting_number_text,
)
from transformer_playground.jsonvalues import as_count, as_object, as_text, to_jsonable

if TYPE_CHECKING:
    from transformer_playground.runs.metrics import FileOffset
    from transformer_playground.runs.summary import RunSummary

Kind = Literal["text", "number", "duration", "date", "tags", "status", "setting"]
STATES = ("new", "running", "finished", "stopped", "failed", "interrupted", "broken")
"""All states of a listed run."""

GLYPHS = {
    "running": "▶",
    "finished": "✓",
    "stopped": "■",
    "failed": "✗",
    "interrupted": "!",
    "new": "·",
    "broken": "?",
}
"""Symbol of each state."""

DEFAULT_COLUMNS = ("run", "status", "step", "best_val_loss", "tokens_per_second", "params", "age")
"""Default columns; names, parents and tags are added if any run has one."""


@dataclass(frozen=True)
class Parent:
    """Where a branch started: a run (untrusted text, and it may be gone) and a step of it."""

    run_id: str
    step: int | None = None

    @classmethod
    def of(cls, entry: object) -> "Parent | None":
        """From the entry in `config.json`; None if it names no run."""
        table = as_object(entry)
        run_id = as_text(table.get("run_id"))
        return None if run_id is None else cls(run_id, as_count(table.get("step")))

    def text(self, name: Callable[[str], str] = str) -> str:
        """As "rope @ 300"; `name` makes a run's name of its id."""
        at = "" if self.step is None else f" @ {self.step:,}"
        return name(self.run_id) + at


def _no_summary() -> "RunSummary":
    # Imported late: the console shows its table before it reads any metrics.
    from transformer_playground.runs.summary import RunSummary

    return RunSummary()


def _start_of_file() -> "FileOffset":
    from transformer_playground.runs.metrics import FileOffset

    return FileOffset()


@dataclass(frozen=True)
class RunInfo:
    """One run of a run list. Run id, tags and note are untrusted text.

    Attributes:
        state: A state of `RunStatus`, or "broken".
        problem: Why the run failed or is broken.
        created: Unix time.
        updated: Unix time of the last write to `metrics.jsonl`.
        settings: Settings by dotted key, such as "model.norm".
        position: How far `metrics.jsonl` was read for `summary`.
        parent: The run and step that a branch started from.
        name: What the run is called in the list that it is part of (`naming.named`).
    """

    run_id: str
    state: str
    problem: str | None = None
    experiment: str | None = None
    max_iters: int | None = None
    parameters: int | None = None
    created: float | None = None
    updated: float | None = None
    seed: int | None = None
    parent: Parent | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: "RunSummary" = field(default_factory=_no_summary)
    position: "FileOffset" = field(default_factory=_start_of_file, compare=False)
    # It depends on the other runs of the list.
    name: str = field(default="", compare=False)

    @property
    def wall_time(self) -> float | None:
        """Seconds of training; None for a broken run."""
        return None if self.state == "broken" else self.summary.wall_time_s

    def as_json(self) -> dict[str, Any]:
        """One flat JSON object, with the name of a run that has one."""
        named = {"name": self.name} if self.name else {}
        summary = self.summary
        document: dict[str, Any] = to_jsonable(
            {
                "run_id": self.run_id,
                **named,
                "state": self.state,
                "problem": self.problem,
                "experiment": self.experiment,
                "step": summary.step,
                "max_iters": self.max_iters,
                "best_val_loss": summary.best_val_loss,
                "tokens_per_second": summary.tokens_per_sec_median,
                "parameters": self.parameters,
                "created": self.created,
                "updated": self.updated,
                "train_loss": summary.train_loss,
                "val_loss": summary.val_loss,
                "best_step": summary.best_step,
                "bits_per_byte": summary.bits_per_byte,
                "tokens_seen": summary.tokens_seen,
                "wall_time": self.wall_time,
                "seed": self.seed,
                "parent": self.parent,
                "tags": self.tags,
                "note": self.note,
                "settings": self.settings,
            }
        )
        return document


class Field(NamedTuple):
    """A column of run lists.

    Attributes:
        key: Name in filters, sort keys and `--columns`.
        kind: How values are compared and parsed.
        read: Returns the value or None, given the run and the current Unix time.
        show: Formats the value.
        after: Suffix of the formatted value.
        weight: Columns of low weight are dropped first where width is short.
    """

    key: str
    header: str
    kind: Kind
    read: Callable[[RunInfo, float], Any]
    show: Callable[[Any], str] = str
    weight: int = 0
    after: Callable[[RunInfo], str] = lambda _: ""

    @property
    def right_aligned(self) -> bool:
        """Whether the values are aligned at their last digit."""
        return self.kind in ("number", "duration")

    def value(self, row: RunInfo, now: float) -> Any:
        """Value for a run; None if missing or NaN."""
        value = self.read(row, now)
        return None if isinstance(value, float) and math.isnan(value) else value

    def text(self, row: RunInfo, now: float) -> str:
        """Formatted value (untrusted text); empty if missing."""
        value = self.value(row, now)
        return "" if value is None else self.show(value) + self.after(row)


def _of_summary(
    key: str, header: str, show: Callable[[Any], str], weight: int = 0, source: str = ""
) -> Field:
    """A number of `RunSummary`: its attribute `source`, or `key`."""
    name = source or key
    return Field(key, header, "number", lambda row, _: getattr(row.summary, name), show, weight)


def _end(row: RunInfo) -> str:
    return "" if row.max_iters is None else f"/{row.max_iters:,}"


def _age(row: RunInfo, now: float) -> float | None:
    return None if row.created is None else now - row.created


def _name(row: RunInfo, _: float) -> str | None:
    """The name of a run that is not called by its id."""
    return None if row.name in ("", row.run_id) else row.name


def _status(state: str) -> str:
    return f"{GLYPHS.get(state, '?')} {state}"


_WHOLE = "{:,}".format
_FIELDS = (
    Field("run", "run", "text", lambda row, _: row.run_id, weight=100),
    Field("name", "name", "text", _name, weight=70),
    Field("status", "status", "status", lambda row, _: row.state, _status, 90),
    Field("experiment", "experiment", "text", lambda row, _: row.experiment),
    Field("step", "step", "number", lambda row, _: row.summary.step, _WHOLE, 60, after=_end),
    Field("max_iters", "of steps", "number", lambda row, _: row.max_iters, _WHOLE),
    _of_summary("best_val_loss", "best val", loss_text, 80),
    _of_summary("best_step", "best step", _WHOLE),
    _of_summary("val_loss", "val loss", loss_text),
    _of_summary("train_loss", "train loss", loss_text),
    _of_summary("bits_per_byte", "bits/byte", loss_text),
    _of_summary("tokens_per_second", "tokens/s", count_text, 40, source="tokens_per_sec_median"),
    Field("params", "params", "number", lambda row, _: row.parameters, count_text, 20),
    _of_summary("tokens_seen", "tokens", count_text),
    Field("wall_time", "time", "duration", lambda row, _: row.wall_time or None, duration_text),
    Field("seed", "seed", "number", lambda row, _: row.seed),
    Field("age", "age", "duration", _age, age_text, 50),
    Field("created", "created", "date", lambda row, _: row.created, date_text),
    Field("updated", "updated", "date", lambda row, _: row.updated, date_text),
    Field("tag", "tags", "tags", lambda row, _: row.tags or None, ", ".join, 30),
    Field("note", "note", "text", lambda row, _: row.note or None),
    Field("parent", "from", "text", lambda row, _: row.parent and row.parent.text(), weight=25),
    Field("problem", "problem", "text", lambda row, _: row.problem),
)
FIELDS = {field.key: field for field in _FIELDS}
"""All fields except settings, by key."""

_ALIASES = {
    "id": "run",
    "run_id": "run",
    "state": "status",
    "exp": "experiment",
    "tags": "tag",
    "notes": "note",
    "best": "best_val_loss",
    "parameters": "params",
    "tokens": "tokens_seen",
    "tokens_per_sec": "tokens_per_second",
    "time": "wall_time",
    "bpb": "bits_per_byte",
    "error": "problem",
    "from": "parent",
}


def find_field(name: str, settings: Iterable[str]) -> Field:
    """Find a field by key, alias or dotted setting key; a setting also by the end of its key.

    Args:
        name: Typed by the user.
        settings: Known dotted setting keys.

    Raises:
        UsageError: Unknown field, or several settings end so; the hint suggests names.
    """
    key = name.lower().replace("-", "_")
    field = FIELDS.get(_ALIASES.get(key, key))
    if field is not None:
        return field
    known = sorted(set(settings))
    if name in known:
        return setting_field(name)
    ending = [setting for setting in known if setting.endswith(f".{name}")]
    if len(ending) == 1:
        return setting_field(ending[0])
    if ending:
        raise UsageError(f"Several settings end in '{name}'.", f"Write {' or '.join(ending[:3])}.")
    nearest = difflib.get_close_matches(key, [*FIELDS, *known], n=3, cutoff=0.5)
    hint = f"Nearest: {', '.join(nearest[:3])}." if nearest else f"There are: {', '.join(FIELDS)}."
    raise UsageError(f"Runs have no field '{name}'.", hint)


def setting_field(key: str) -> Field:
    """Field of a setting, given its dotted key."""
    return Field(
        key, key, "setting", lambda row, _: to_jsonable(row.settings.get(key)), setting_text
    )


def setting_text(value: Any, *, is_exact: bool = False) -> str:
    """Format a setting: plain strings without quotes, other values as TOML.

    Args:
        value: The value.
        is_exact: Whether numbers are TOML with all their digits, too, instead of as short as they
            are in tables and in names of runs.
    """
    if isinstance(value, str) and value.strip() == value != "":
        return value
    text = toml_value(value)
    if isinstance(value, float) and not is_exact:
        return setting_number_text(value)
    if isinstance(value, int) and len(text) > VALUE_WIDTH and not is_exact:
        return power_text(value)
    return text


def setting_keys(rows: Iterable[RunInfo]) -> set[str]:
    """Dotted keys of the settings of all runs."""
    return set().union(*(row.settings for row in rows))
