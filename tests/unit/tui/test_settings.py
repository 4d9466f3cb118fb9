"""The settings file of the console."""

from pathlib import Path

import pytest

from transformer_playground.errors import ConfigError
from transformer_playground.tui.live.quantities import find_quantity, remembered_log_charts
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


def test_saved_filters_are_written_and_deleted_ones_leave_the_file(tmp_path: Path) -> None:
    path = tmp_path / "console.toml"
    path.write_text("# mine\n[filters]\nold = 'tag:old'\n", encoding="utf-8")
    settings = load_settings(path)
    settings.filters["my best \U0001f600"] = 'val_loss<1.9 "a b"'
    del settings.filters["old"]
    save_settings(path, settings)
    assert load_settings(path).filters == {"my best \U0001f600": 'val_loss<1.9 "a b"'}
    settings.filters.clear()
    save_settings(path, settings)
    assert load_settings(path).filters == {}
    assert path.read_text(encoding="utf-8").startswith("# mine")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("log = true\nquantity = 'grad_norm'", ["grad_norm"]),
        ("log = true\nquantity = 'a'\nquantity_event = 'b'", [find_quantity("a", "b").id]),
        ("log = true\nlog_charts = ['lr']", ["lr"]),
        ("log = false", []),
        ("log_charts = ['lr']", ["lr"]),
        ("", []),
    ],
)
def test_a_log_axis_of_the_whole_grid_becomes_that_of_its_quantity(
    tmp_path: Path, lines: str, expected: list[str]
) -> None:
    path = tmp_path / "console.toml"
    path.write_text(f"[layout.grid]\n{lines}\n", encoding="utf-8")
    settings = load_settings(path)
    assert not settings.problems
    assert remembered_log_charts(settings, "grid") == expected
    save_settings(path, settings)
    saved = load_settings(path)
    assert remembered_log_charts(saved, "grid") == expected
    assert "log" not in saved.layout.get("grid", {})


WRONG = """
theme = 3
bell = "yes"
this is not TOML
sound = true
keys.runs.filter = "f"
keys.runs.pin = 7
filters.old = "tag:old"
filters.odd = 3
layout.live.log = true
layout.runs = "wide"
layout.live.smoothing = 1
layout.live.x = 3
theme = "nord"
"""


def test_a_wrong_value_costs_that_value_alone_and_each_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "console.toml"
    path.write_text(WRONG, encoding="utf-8")
    settings = load_settings(path)
    assert settings.keys == {"runs.filter": "f"}
    assert settings.layout == {"live": {"log": True, "smoothing": 1.0}}
    assert settings.filters == {"old": "tag:old"}
    assert (settings.theme, settings.bell) == (None, False)
    for said in (
        "console.toml, line 4: Expected '=' after a key",
        "console.toml, line 14: Cannot overwrite a value.",
        "theme must be a name",
        "bell must be true or false",
        "there is no setting sound",
        "keys.runs.pin must be a text of keys",
        "filters.odd must be a text",
        "layout.runs must be a table",
        "layout.live.x must be text",
    ):
        assert sum(said in problem for problem in settings.problems) == 1, said
    assert len(settings.problems) == 9


@pytest.mark.parametrize(
    "name", ["theme", "bell", "keys", "filters", "layout", "layout.live", "keys.runs.pin"]
)
@pytest.mark.parametrize("value", ["3", "1.5", '"x"', "true", "[1]", "{a = [1]}", "2026-01-31"])
def test_a_value_of_any_type_leaves_the_other_values(tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / "console.toml"
    path.write_text('keys.live.stop = "f9"\nlayout.sample.colours = true\n', encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name} = {value}\n")
    settings = load_settings(path)
    assert settings.keys["live.stop"] == "f9"
    assert settings.layout["sample"] == {"colours": True}
    assert len(settings.problems) <= 1


def test_a_file_of_broken_lines_is_refused_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "console.toml"
    for text in ("[[[\n" * 30, "a = " + "[" * 5000, "a = [1,\n\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match="is not valid TOML"):
            load_settings(path)
