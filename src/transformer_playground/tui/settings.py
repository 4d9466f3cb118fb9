"""Settings file of the console (TOML): theme, keys, saved filters and remembered choices.

Saving keeps comments and every value that the console does not change.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from transformer_playground.errors import ConfigError

_MAX_BYTES = 256 * 1024
# Types of the remembered choices, and how a message names them.
_REMEMBERED: Mapping[str, Mapping[str, type]] = {
    "runs": {"columns": list, "sort": str, "downwards": bool, "tree": bool},
    "live": {
        "quantity": str,
        "quantity_event": str,
        "x": str,
        "log": bool,
        "smoothing": float,
        "log_in_front": bool,
    },
    "sample": {"history": list, "colours": bool},
    "compare": {"group": bool, "all_settings": bool},
    "grid": {"quantity": str, "quantity_event": str, "x": str, "log_charts": list, "order": str},
}
_TYPE_NAMES = {list: "a list", str: "text", bool: "true or false", float: "a number"}
_MOST_BROKEN_LINES = 20
_AT_LINE = re.compile(r"^(.*) \(at line (\d+), column \d+\)$", re.DOTALL)
_FOLDER_VARIABLE = "TRANSFORMER_PLAYGROUND_CONFIG_DIR"


def settings_path() -> Path:
    """Path of the settings file; an environment variable can name another folder."""
    named = os.environ.get(_FOLDER_VARIABLE)
    folder = Path(named) if named else platformdirs.user_config_path("transformer-playground")
    return folder / "console.toml"


@dataclass
class Settings:
    """Content of the settings file.

    Attributes:
        bell: Whether to ring the terminal bell when a run of this console ends.
        keys: Id of a binding -> keys, separated by commas.
        filters: Name -> filter of the table of runs.
        layout: View -> name -> value; each view has its own table.
        problems: One sentence for each value of the file that is ignored, and why.
    """

    theme: str | None = None
    bell: bool = False
    keys: dict[str, str] = field(default_factory=dict)
    filters: dict[str, str] = field(default_factory=dict)
    layout: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def remembered(self, view: str, name: str, default: Any) -> Any:
        """A stored value if it has the type of `default`, else `default`."""
        value = self.layout.get(view, {}).get(name, default)
        return value if type(value) is type(default) else default

    def remember(self, view: str, name: str, value: Any) -> None:
        self.layout.setdefault(view, {})[name] = value


def load_settings(path: Path) -> Settings:
    """Read the settings; defaults if there is no file, and for each value that is not valid.

    Raises:
        ConfigError: The file is unreadable or not TOML at all.
    """
    document, problems = _read(path, repair=True)
    settings = Settings(problems=[f"{path}, {problem}" for problem in problems])
    for name, value in document.items():
        found = list(_take(settings, name, value))
        settings.problems += [f"{path}: {problem}" for problem in found]
    return settings


def _take(settings: Settings, name: str, value: Any) -> Iterator[str]:
    """Set one entry of the file; yield why it, or a part of it, is ignored."""
    match name:
        case "theme" if isinstance(value, str):
            settings.theme = value
        case "theme":
            yield 'theme must be a name. Write theme = "playground-dark".'
        case "bell" if isinstance(value, bool):
            settings.bell = value
        case "bell":
            yield "bell must be true or false."
        case "keys" if _is_table(value):
            yield from _take_keys(settings, value)
        case "layout" if _is_table(value):
            for view, table in value.items():
                yield from _take_layout(settings, view, table)
        case "filters" if _is_table(value):
            yield from _take_filters(settings, value)
        case "keys" | "layout" | "filters":
            yield f"{name} must be a table, [{name}]."
        case _:
            yield f"there is no setting {name}; there are theme, bell, keys, filters and layout."


def _take_keys(settings: Settings, table: Mapping[str, Any]) -> Iterator[str]:
    for name, pressed in _leaves(table).items():
        if isinstance(pressed, str):
            settings.keys[name] = pressed
        else:
            yield f'keys.{name} must be a text of keys. Write {name} = "f".'


def _take_filters(settings: Settings, table: Mapping[str, Any]) -> Iterator[str]:
    for name, text in table.items():
        if isinstance(text, str):
            settings.filters[name] = text
        else:
            yield f"filters.{name} must be a text: the filter."


def _take_layout(settings: Settings, view: str, table: Any) -> Iterator[str]:
    if not _is_table(table):
        yield f"layout.{view} must be a table, [layout.{view}]."
        return
    kept = settings.layout[view] = dict(table)
    for name, wanted in _REMEMBERED.get(view, {}).items():
        value = kept.get(name)
        if wanted is float and type(value) is int:
            kept[name] = float(value)
        elif name in kept and type(value) is not wanted:
            del kept[name]
            yield f"layout.{view}.{name} must be {_TYPE_NAMES[wanted]}."


def save_settings(path: Path, settings: Settings) -> None:
    """Write theme, saved filters and layout to the file; everything else in it stays as it is.

    Raises:
        OSError: OSError while writing; the file is unchanged.
        ConfigError: The file is not valid any more; it is unchanged.
    """
    import tomlkit

    from transformer_playground.files import replace_text

    _read(path)
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else None
    document = document if document is not None else tomlkit.document()
    if settings.theme is not None:
        document["theme"] = settings.theme
    if settings.filters or "filters" in document:
        document["filters"] = settings.filters
    if settings.layout:
        document["layout"] = settings.layout
    # A remembered column can have any name, even one that is not UTF-8, which TOML requires.
    text = tomlkit.dumps(document).encode("utf-8", "replace").decode("utf-8")
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, text)


def _read(path: Path, *, repair: bool = False) -> tuple[dict[str, Any], list[str]]:
    """The content of the file; with `repair` without the lines that are not TOML, and these."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path} is larger than {_MAX_BYTES // 1024} KiB.", "Shorten it.")
        data = path.read_bytes()
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    import tomllib

    from transformer_playground.encodings import decode_config

    lines = decode_config(data, str(path)).split("\n")
    problems: list[str] = []
    while True:
        try:
            return tomllib.loads("\n".join(lines)), problems
        except (ValueError, RecursionError) as error:
            at = _AT_LINE.match(str(error))
            if not repair or at is None or len(problems) == _MOST_BROKEN_LINES:
                raise ConfigError(
                    f"{path} is not valid TOML: {error}.", "Fix or delete it."
                ) from error
            number = int(at[2])
            problems.append(f"line {number}: {at[1]}.")
            # Empty, so that the numbers of later lines stay.
            lines[number - 1] = ""


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _leaves(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if _is_table(value):
            found |= _leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
