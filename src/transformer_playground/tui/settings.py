"""Settings file of the console (TOML): theme, keys and remembered choices.

Saving keeps comments and every value that the console does not change.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from transformer_playground.errors import ConfigError

_MAX_BYTES = 256 * 1024
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
        layout: View -> name -> value; each view has its own table.
    """

    theme: str | None = None
    bell: bool = False
    keys: dict[str, str] = field(default_factory=dict)
    layout: dict[str, dict[str, Any]] = field(default_factory=dict)

    def remembered(self, view: str, name: str, default: Any) -> Any:
        """A stored value if it has the type of `default`, else `default`."""
        value = self.layout.get(view, {}).get(name, default)
        return value if type(value) is type(default) else default

    def remember(self, view: str, name: str, value: Any) -> None:
        self.layout.setdefault(view, {})[name] = value


def load_settings(path: Path) -> Settings:
    """Read the settings; defaults if there is no file.

    Raises:
        ConfigError: The file is unreadable or not valid.
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
    """Write theme and layout to the file; everything else in it stays as it is.

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
    if settings.layout:
        document["layout"] = settings.layout
    # A remembered column can have any name, even one that is not UTF-8, which TOML requires.
    text = tomlkit.dumps(document).encode("utf-8", "replace").decode("utf-8")
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, text)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path} is larger than {_MAX_BYTES // 1024} KiB.", "Shorten it.")
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    import tomllib

    from transformer_playground.encodings import decode_config

    text = decode_config(data, str(path))
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Fix or delete it.") from error


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
