"""Files, environment and flags become layers, or one clear error."""

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transformer_playground.config.reference import schema_index
from transformer_playground.config.sources import (
    MAX_BYTES,
    MAX_DEPTH,
    UNSET_VALUES,
    Layer,
    Problem,
    environment_layers,
    flag_layers,
    merge,
    read_layer,
)
from transformer_playground.config.toml import toml_string, toml_value
from transformer_playground.errors import ConfigError

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=6,
)


_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _write(folder: Path, data: bytes) -> Path:
    path = folder / "config.toml"
    path.write_bytes(data)
    return path


def _refusal(folder: Path, data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read_layer(_write(folder, data), folder)
    return str(caught.value)


def _flag_value(flag: str) -> Any:
    (layer,) = flag_layers([flag])
    node: Any = layer.values
    while isinstance(node, dict) and len(node) == 1:
        (node,) = node.values()
    return node


@_CALM
@given(_VALUES)
@example('\x7f\x00\x85\u2028"\\')
def test_a_value_written_as_toml_reads_back_equal(value: object) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


@_CALM
@given(_SCALARS)
def test_set_reads_every_toml_value(value: object) -> None:
    assert _flag_value(f"some.key={toml_value(value)}") == value


@_CALM
@given(st.from_regex(r"[A-Za-z_/.][A-Za-z_/. -]{0,20}", fullmatch=True))
def test_set_takes_bare_words_as_text(words: str) -> None:
    if words.strip() in ("true", "false", "nan", "inf"):
        return
    assert _flag_value(f"some.key={words}") == words.strip()


@_CALM
@given(_TEXT)
def test_set_either_sets_exactly_its_key_or_is_rejected(text: str) -> None:
    try:
        (layer,) = flag_layers([f"some.key={text}"])
    except ConfigError:
        return
    assert list(layer.values) == ["some"]
    assert list(layer.values["some"]) == ["key"]


@_CALM
@given(_TEXT)
def test_set_handles_any_key(text: str) -> None:
    try:
        (layer,) = flag_layers([text])
    except ConfigError:
        return
    assert len(layer.values) == 1


def test_set_splits_at_the_first_equals_sign() -> None:
    assert _flag_value("sample.sample.start=a=b") == "a=b"


def test_set_with_nothing_after_the_equals_sign_is_empty_text() -> None:
    assert _flag_value("sample.sample.start=") == ""


def test_set_merges_an_inline_table() -> None:
    (layer,) = flag_layers(["train.optim={beta1 = 0.8, beta2 = 0.9}"])
    assert layer.values == {"train": {"optim": {"beta1": 0.8, "beta2": 0.9}}}


@pytest.mark.parametrize("word", ["none", "null", " none "])
def test_the_bare_word_none_unsets_a_setting_that_may_be_unset(word: str) -> None:
    assert _flag_value(f"model.n_kv_head={word}") is None


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("model.positional_encoding=none", "none"),
        ("sample.sample.start=none", "none"),
        ("experiment.description=null", "null"),
        ('model.n_kv_head="none"', "none"),
    ],
)
def test_none_is_an_ordinary_word_for_settings_that_cannot_be_unset(flag: str, value: str) -> None:
    assert _flag_value(flag) == value


def test_no_setting_that_may_be_unset_has_none_among_its_choices() -> None:
    for entry in schema_index().values():
        assert not (entry.optional and set(entry.choices) & set(UNSET_VALUES)), entry.name


def test_set_cannot_set_a_second_key() -> None:
    assert _flag_value("some.key=1\nother = 2") == "1\nother = 2"


def test_set_without_an_equals_sign_shows_the_form() -> None:
    with pytest.raises(ConfigError, match=r"--set model\.n_layer has no '='.*dotted\.key=value"):
        flag_layers(["model.n_layer"])


@pytest.mark.parametrize(
    "flag", ["=3", "a..b=3", "a b=3", "[a]\nb=3", ".=1", ".".join("a" * 40) + "=1"]
)
def test_set_with_a_malformed_key_is_rejected(flag: str) -> None:
    with pytest.raises(ConfigError, match="dotted key"):
        flag_layers([flag])


@pytest.mark.parametrize("value", ["[1, 2", '"open', "{a = }", "'x' y", "[" * 5000])
def test_set_with_an_incomplete_toml_value_is_rejected(value: str) -> None:
    with pytest.raises(ConfigError, match="not a TOML value"):
        flag_layers([f"model.n_layer={value}"])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[model]\nn_layer == 3\n", "line 2, column 10"),
        ("[model]\nn_layer = 3\nn_layer = 4\n", "line 3"),
        ("[model\n", "line 1"),
        ('a = 1\nb = "open', "line 2, column 10"),
        ("n = " + "9" * 5000, "line 1"),
    ],
)
def test_a_syntax_error_names_file_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    message = _refusal(tmp_path, text.encode())
    assert "config.toml, " + place in message
    assert "at line" not in message


def test_the_faulty_line_is_shown(tmp_path: Path) -> None:
    assert "Line 2: n_layer == 3" in _refusal(tmp_path, b"[model]\nn_layer == 3\n")


def test_bytes_that_are_not_utf8_name_their_line(tmp_path: Path) -> None:
    message = _refusal(tmp_path, b"# ok\ndescription = 'caf\xe9'\n")
    assert "line 2: byte 0xe9 is not UTF-8" in message


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp1252", "Windows-1252"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16LE"),
        ("utf-32", "UTF-32"),
    ],
)
def test_a_file_in_another_encoding_names_the_conversion(
    tmp_path: Path, encoding: str, name: str
) -> None:
    text = "# Größe für den Anfang\n[model]\nn_layer = 3\n"
    message = _refusal(tmp_path, text.encode(encoding))
    assert "is not UTF-8" in message
    assert f"It looks like {name}. Convert it with `iconv -f {name.upper()} " in message


def test_a_byte_order_mark_is_named(tmp_path: Path) -> None:
    assert "byte order mark" in _refusal(tmp_path, b"\xef\xbb\xbf[model]\n")


def test_size_is_checked_before_anything_is_parsed(tmp_path: Path) -> None:
    assert "larger than 256 KiB" in _refusal(tmp_path, b"not toml " * MAX_BYTES)
    full = b"#" * (MAX_BYTES - 1) + b"\n"
    assert read_layer(_write(tmp_path, full), tmp_path).values == {}
    assert "larger than 256 KiB" in _refusal(tmp_path, full + b"\n")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 20_000 + "]" * 20_000,
        "a = " + "[" * 40 + "]" * 40,
        ".".join("a" * 100_000) + " = 1",
        ".".join("a" * 30) + " = 1",
        "a = " + "{b = " * 5_000 + "1" + "}" * 5_000,
        "[" + " . ".join(['"a"'] * 20_000) + "]",
    ],
)
def test_extremely_deep_nesting_is_an_error_and_not_a_crash(tmp_path: Path, text: str) -> None:
    assert "nested more than" in _refusal(tmp_path, text.encode())


def test_a_missing_file_and_a_folder_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_layer(tmp_path / "nowhere.toml", tmp_path)
    with pytest.raises(ConfigError, match="not a plain file"):
        read_layer(tmp_path, tmp_path)


def test_environment_objects_are_merged_into_their_tables() -> None:
    layers = environment_layers(
        {
            "ML_PLAYGROUND_TRAIN_OVERRIDES": '{"optim": {"learning_rate": 0.5}}',
            "ML_PLAYGROUND_SAMPLE_OVERRIDES": '{"sample": {"top_k": 3}}',
            "PATH": "{}",
        }
    )
    assert [(layer.name, layer.values) for layer in layers] == [
        ("ML_PLAYGROUND_TRAIN_OVERRIDES", {"train": {"optim": {"learning_rate": 0.5}}}),
        ("ML_PLAYGROUND_SAMPLE_OVERRIDES", {"sample": {"sample": {"top_k": 3}}}),
    ]


@pytest.mark.parametrize("blank", ["", "  \n"])
def test_a_blank_variable_is_ignored(blank: str) -> None:
    assert environment_layers({"ML_PLAYGROUND_TRAIN_OVERRIDES": blank}) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{oops", "not valid JSON: .*line 1 column 2"),
        ("[1]", "not a JSON object"),
        ("3", "not a JSON object"),
        ('{"a": 1, "a": 2}', 'duplicate name "a"'),
        ("9" * 5000, "not valid JSON"),
        ("[" * 100_000, "nested more than"),
        (json.dumps({"a": "x" * MAX_BYTES}), "larger than 256 KiB"),
    ],
)
def test_a_variable_that_is_not_a_json_object_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"ML_PLAYGROUND_TRAIN_OVERRIDES.*{complaint}"):
        environment_layers({"ML_PLAYGROUND_TRAIN_OVERRIDES": text})


def test_control_characters_of_strings_are_shown_escaped() -> None:
    assert toml_string("a\x1b\x7f\n") == '"a\\u001b\\u007f\\n"'


def test_sixteen_levels_are_allowed_and_no_more(tmp_path: Path) -> None:
    key = ".".join("a" * MAX_DEPTH)
    assert read_layer(_write(tmp_path, f"{key} = 1".encode()), tmp_path).values
    assert "nested more than 16 deep" in _refusal(tmp_path, f"{key}.a = 1".encode())
    assert flag_layers([f"{key}=1"])
    with pytest.raises(ConfigError, match="dotted key"):
        flag_layers([f"{key}.a=1"])
    with pytest.raises(ConfigError, match="nested more than 16 deep"):
        flag_layers([f"{key}=[[1]]"])


def test_a_variable_may_be_as_long_as_a_file() -> None:
    text = json.dumps({"a": ""})
    full = json.dumps({"a": "x" * (MAX_BYTES - len(text))})
    assert environment_layers({"ML_PLAYGROUND_TRAIN_OVERRIDES": full})
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        environment_layers({"ML_PLAYGROUND_TRAIN_OVERRIDES": full + " "})


def test_the_layers_of_environment_and_flags_lie_in_the_current_folder() -> None:
    layers = [
        *flag_layers(["model.n_layer=1"]),
        *environment_layers({"ML_PLAYGROUND_TRAIN_OVERRIDES": "{}"}),
    ]
    assert [layer.folder for layer in layers] == [Path.cwd()] * 2


def test_a_syntax_error_at_the_end_of_a_file_is_placed_behind_its_last_character(
    tmp_path: Path,
) -> None:
    assert "line 2, column 4" in _refusal(tmp_path, b"a = 1\nb =")
    assert "line 1, column 4" in _refusal(tmp_path, b"a =")


def test_a_long_faulty_line_is_cut(tmp_path: Path) -> None:
    message = _refusal(tmp_path, b"a = 1\nb == " + b"x" * 500)
    assert f"Line 2: b == {'x' * 94}…" in message


def test_which_name_comes_twice_is_said() -> None:
    with pytest.raises(ConfigError, match='duplicate name "b"'):
        environment_layers({"ML_PLAYGROUND_TRAIN_OVERRIDES": '{"a": 1, "b": 1, "b": 2}'})


def test_a_value_in_place_of_a_table_takes_the_origins_of_its_keys_away() -> None:
    here = Path.cwd()
    table, value = (
        Layer("table", here, {"a": {"b": 1, "c": {"d": 2}}}),
        Layer("value", here, {"a": 3}),
    )
    merged = merge([table, value])
    assert merged.values == {"a": 3}
    assert merged.origins == {("a",): value}
    assert merged.origin(("a", "c", "d")) is value


@pytest.mark.parametrize(
    ("shared", "field"),
    [(Layer("file", Path(), {}), "values"), (Problem("file", "wrong"), "where")],
)
def test_layers_and_problems_cannot_be_changed_by_those_who_share_them(
    shared: Layer | Problem, field: str
) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(shared, field, "other")
