"""The settings file of the console."""

from pathlib import Path

import pytest

from transformer_playground.errors import ConfigError
from transformer_playground.tui.settings import Settings, load_settings, save_settings


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("cp1252", "Windows-1252"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE")],
)
def test_a_file_in_another_encoding_names_the_conversion_and_stays_as_it_is(
    tmp_path: Path, encoding: str, name: str
) -> None:
    path = tmp_path / "console.toml"
    data = "# Größe für den Anfang\nbell = false\n".encode(encoding)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="is not UTF-8") as caught:
        load_settings(path)
    assert f"It looks like {name}. Convert it with" in caught.value.hint
    with pytest.raises(ConfigError, match="is not UTF-8"):
        save_settings(path, Settings(theme="nord"))
    assert path.read_bytes() == data
