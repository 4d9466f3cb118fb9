"""Rows of the settings table of the launch form: new, inherited and default value of each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformer_playground.config.override_text import setting_named
from transformer_playground.config.reference import ANY_NAME, SchemaField, schema_index
from transformer_playground.runs.naming import LOCATIONS
from transformer_playground.tui.launch.completion import typed_form
from transformer_playground.tui.launch.service import SettingValues
from transformer_playground.tui.launch.variants import list_values

CHANGED = "changed"
"""Group of the settings that are changed here."""

# Labels of the experiment, and the experiment's own files.
_HIDDEN = ("experiment.",)
_FIRST_OPEN = ("model",)


@dataclass(frozen=True)
class SettingRow:
    """A setting, or the heading of a group; untrusted text.

    Attributes:
        key: Dotted key; of a heading the name of its group.
        label: Key as shown: in full under `CHANGED`, otherwise without its group.
        new: Value of the run; several for a list.
        was: Value without the changes.
        default: The schema's default.
        help: Description and allowed values; of a closed group what differs from the defaults.
        is_heading: Whether this is a heading.
        is_open: Of a heading, whether its settings are shown.
        is_changed: Changed here.
    """

    key: str
    label: str
    new: str = ""
    was: str = ""
    default: str = ""
    help: str = ""
    is_heading: bool = False
    is_open: bool = True
    is_changed: bool = False

    @property
    def is_default(self) -> bool:
        """Whether the run has the schema's default."""
        return self.new == self.default


def rows_of(
    values: SettingValues,
    overrides: Sequence[str],
    opened: Collection[str],
    *,
    only_differing: bool = False,
) -> list[SettingRow]:
    """Rows of the table: changed settings first, then each group of the schema.

    Args:
        values: Values of the settings.
        overrides: `dotted.key=value` each; a value may be a list, one run for each.
        opened: Groups whose settings are shown.
        only_differing: Leave out settings that have their default.
    """
    typed = {name: text for name, text in map(_typed, overrides) if name}
    groups: dict[str, list[SettingRow]] = {}
    for entry in _settings():
        row = _row(entry, values, typed)
        groups.setdefault(entry.name.rpartition(".")[0], []).append(row)
    changed = [
        replace(row, label=row.key) for rows in groups.values() for row in rows if row.is_changed
    ]
    found: list[SettingRow] = []
    if changed:
        found.append(_heading(CHANGED, _summary(changed), is_open=CHANGED in opened))
        found += changed if CHANGED in opened else []
    for group, rows in groups.items():
        differing = [row for row in rows if not row.is_default]
        shown = differing if only_differing else rows
        if not shown:
            continue
        is_open = group in opened
        found.append(_heading(group, _summary(differing), is_open=is_open))
        found += shown if is_open else []
    return found


def first_open() -> set[str]:
    """Groups that are open in a new form."""
    return {CHANGED, *_FIRST_OPEN}


def group_of(rows: Sequence[SettingRow], index: int) -> str | None:
    """The group of a row."""
    headings = [row.key for row in rows[: index + 1] if row.is_heading]
    return headings[-1] if headings else None


def edited_text(row: SettingRow) -> str:
    """What stands in the field when a row is changed."""
    return "" if row.new == "none" else row.new


def next_choice(row: SettingRow, by: int) -> str | None:
    """The choice after the present one; None if the setting has no choices."""
    entry = setting_named(row.key)
    if entry is None:
        return None
    options = [*entry.choices] if entry.choices else []
    if isinstance(entry.default, bool):
        options = ["false", "true"]
    if entry.optional and options:
        options.append("none")
    if not options:
        return None
    now = row.new.strip('"')
    place = options.index(now) + by if now in options else 0
    return options[place % len(options)]


def _settings() -> list[SchemaField]:
    return [
        entry
        for entry in schema_index().values()
        if not entry.is_table and ANY_NAME not in entry.key and not entry.name.startswith(_HIDDEN)
    ]


def _typed(override: str) -> tuple[str, str]:
    key, _, text = override.partition("=")
    entry = setting_named(key.strip())
    return (entry.name if entry else "", text.strip())


def _row(entry: SchemaField, values: SettingValues, typed: Mapping[str, str]) -> SettingRow:
    default = typed_form(_plain(entry.default))
    was = typed_form(values.was[entry.name]) if entry.name in values.was else default
    new = typed_form(values.new[entry.name]) if entry.name in values.new else was
    text = typed.get(entry.name)
    if text is not None and len(list_values(f"{entry.name}={text}")) > 1:
        new = text
    allowed = f"{entry.allowed[:1].upper()}{entry.allowed[1:]}"
    return SettingRow(
        key=entry.name,
        label=entry.key[-1],
        new=new,
        was=was,
        default=default,
        help=f"{entry.description} {allowed}." if entry.description else f"{allowed}.",
        is_changed=text is not None,
    )


def _heading(key: str, summary: str, *, is_open: bool) -> SettingRow:
    help_text = "" if is_open else summary
    return SettingRow(key, key, help=help_text, is_heading=True, is_open=is_open)


def _summary(differing: Sequence[SettingRow]) -> str:
    shown = (row for row in differing if row.key not in LOCATIONS)
    return ", ".join(f"{row.key.rpartition('.')[2]} {row.new}" for row in shown)


def _plain(value: Any) -> Any:
    return str(value) if hasattr(value, "__fspath__") else value
