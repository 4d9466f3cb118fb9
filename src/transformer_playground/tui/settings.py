"""The user's settings: theme, keys and what the console remembers, in one TOML file.

The file belongs to the user: what the console does not change, comments included, stays as it is.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from transformer_playground.errors import ConfigError

_LARGEST = 256 * 1024
_FOLDER_VARIABLE = "TRANSFORMER_PLAYGROUND_CONFIG_DIR"


def settings_path() -> Path:
    """Where the settings lie: the user's config folder, or the one that the environment names."""
    stated = os.environ.get(_FOLDER_VARIABLE)
    folder = Path(stated) if stated else platformdirs.user_config_path("transformer-playground")
    return folder / "console.toml"


@dataclass
class Settings:
    """What the settings file says.

    Attributes:
        theme: Name of a theme.
        bell: Whether the terminal rings when a run of this console ends.
        keys: Id of a binding -> keys, separated by commas.
        layout: View -> setting -> value; each view reads and writes its own table.
    """

    theme: str | None = None
    bell: bool = False
    keys: dict[str, str] = field(default_factory=dict)
    layout: dict[str, dict[str, Any]] = field(default_factory=dict)

    def remembered(self, view: str, name: str, default: Any) -> Any:
        """A remembered value if it has the type of `default`, else `default`."""
        value = self.layout.get(view, {}).get(name, default)
        return value if type(value) is type(default) else default

    def remember(self, view: str, name: str, value: Any) -> None:
        """Keep a value until `save_settings` writes it."""
        self.layout.setdefault(view, {})[name] = value


def load_settings(path: Path) -> Settings:
    """Read the settings; an absent file has none.

    Raises:
        ConfigError: The file is not what it should be; the message says where.
    """
    document = _read(path)
    theme = document.get("theme")
    bell = document.get("bell", False)
    if not isinstance(bell, bool):
        raise ConfigError(f"{path}: bell must be true or false.")
    keys, layout = document.get("keys", {}), document.get("layout", {})
    if theme is not None and not isinstance(theme, str):
        raise ConfigError(f"{path}: theme must be a name.", 'Write theme = "playground-dark".')
    if not _is_table(keys) or not all(isinstance(key, str) for key in _leaves(keys).values()):
        raise ConfigError(f"{path}: [keys] must map names to keys.", 'Write runs.filter = "f".')
    if not _is_table(layout) or not all(map(_is_table, layout.values())):
        raise ConfigError(f"{path}: [layout] must hold one table for each view.")
    views = {view: dict(table) for view, table in layout.items()}
    return Settings(theme, bell, _leaves(keys), views)


def save_settings(path: Path, settings: Settings) -> None:
    """Write theme and layout into the file and leave the rest of it alone.

    Raises:
        OSError: The disk refused; the file is as it was.
        ConfigError: The file has become damaged meanwhile; it is left alone.
    """
    import tomlkit

    from transformer_playground.files import replace_text

    _read(path)
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else None
    document = document if document is not None else tomlkit.document()
    if settings.theme is not None:
        document["theme"] = settings.theme
    if settings.layout:
        document["layout"] = settings.layout
    # A setting of a run can be called anything, and a column may show it; TOML is UTF-8.
    text = tomlkit.dumps(document).encode("utf-8", "replace").decode("utf-8")
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, text)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path} is larger than {_LARGEST // 1024} KiB.", "Shorten it.")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}.", "Mend it, or delete it.") from error
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}.", "Mend it, or delete it."
        ) from error


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
