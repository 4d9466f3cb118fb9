"""Fields of the sampling form: validation, values and earlier prompts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.commands import CONTROL
from transformer_playground.errors import ExportError
from transformer_playground.terminal import visible_line
from transformer_playground.tui.sample.form_state import (
    FORM_FIELDS,
    MAX_PROMPTS,
    History,
    build_request,
    default_text,
    default_weights,
    field_error,
    resolve_prompt,
    total_error,
    weights_error,
)
from transformer_playground.tui.sample.panes import export_samples
from transformer_playground.tui.settings import Settings, load_settings, save_settings
from transformer_playground.tui.shared.text import replace_symbols

BY_NAME = {field.name: field for field in FORM_FIELDS}
VALUES = {field.name: default_text(field, {}) for field in FORM_FIELDS}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("temperature", "-1"),
        ("temperature", "nan"),
        ("temperature", "warm"),
        ("top_k", "1.5"),
        ("top_p", "0"),
        ("top_p", "1.1"),
        ("max_new_tokens", "0"),
        ("num_samples", "9" * 5000),
        ("seed", "-1"),
        ("seed", ""),
    ],
)
def test_a_value_that_the_schema_rejects_gives_one_sentence(name: str, text: str) -> None:
    message = field_error(BY_NAME[name], text)

    assert message is not None
    assert message.startswith(f"{BY_NAME[name].label} must be a ")
    assert message.endswith(".")
    assert text not in message or len(text) < 4


@pytest.mark.parametrize(
    ("name", "text"), [("temperature", "0"), ("temperature", "1e-3"), ("top_p", "1"), ("seed", "0")]
)
def test_a_value_that_the_schema_accepts_gives_no_message(name: str, text: str) -> None:
    assert field_error(BY_NAME[name], text) is None


def test_fields_become_a_sample_table_of_the_right_types() -> None:
    values = VALUES | {"temperature": "1", "seed": "7", "num_samples": "3"}

    table = build_request(values, None, unconditional=True).as_object()

    assert table["runtime"] == {"seed": 7}
    assert table["sample"]["temperature"] == 1.0
    assert table["sample"]["num_samples"] == 3
    assert table["sample"]["unconditional"] is True


@pytest.mark.parametrize(
    ("typed", "runtime"),
    [
        ("", {}),
        ("int8", {"quantization": "int8"}),
        ("i", {"quantization": "int8"}),
        ("bfloat16", {"dtype": "bfloat16", "quantization": "none"}),
        ("B", {"dtype": "bfloat16", "quantization": "none"}),
        ("float32", {"dtype": "float32", "quantization": "none"}),
    ],
)
def test_the_type_of_weights_is_a_dtype_or_a_quantization_or_left_to_the_run(
    typed: str, runtime: dict[str, str]
) -> None:
    request = build_request(VALUES, None, unconditional=False, weights=typed)

    table = request.as_object()["runtime"]
    assert {key: value for key, value in table.items() if key != "seed"} == runtime
    assert weights_error(typed) is None


@pytest.mark.parametrize("typed", ["float", "int4", "8", "x" * 5000])
def test_weights_of_no_known_type_give_one_sentence(typed: str) -> None:
    assert weights_error(typed) == ("weights must be auto, float32, bfloat16, float16 or int8.")


@pytest.mark.parametrize(
    ("runtime", "shown"),
    [
        ({}, "float32"),
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": "bfloat16", "quantization": "int8"}, "int8"),
        ({"dtype": 5, "quantization": ["int8"]}, "float32"),
        ({"dtype": ["bfloat16"]}, "float32"),
    ],
)
def test_the_type_of_weights_that_is_not_typed_is_the_run_s(
    runtime: dict[str, object], shown: str
) -> None:
    settings = {f"sample.runtime.{key}": value for key, value in runtime.items()}
    assert default_weights(settings) == shown


def test_an_empty_field_means_the_value_of_the_run_if_it_is_valid() -> None:
    field = BY_NAME["temperature"]

    assert default_text(field, {"sample.sample.temperature": 0.5}) == "0.5"
    assert default_text(field, {"sample.sample.temperature": "[/red]"}) == "0.8"
    assert default_text(field, {}) == "0.8"


def test_more_tokens_than_the_console_holds_are_rejected_with_an_alternative() -> None:
    large = VALUES | {"max_new_tokens": "1000", "num_samples": "51"}

    assert total_error(large, 1) is None
    assert "tp generate" in (total_error(large, 2) or "")
    assert total_error(VALUES | {"max_new_tokens": "9" * 4000, "num_samples": "9" * 4000}, 1)


def test_the_prompt_is_the_typed_one_or_that_of_the_run_but_not_its_file() -> None:
    assert resolve_prompt("a␊b", {"sample.sample.start": "x"}) == "a\nb"
    assert resolve_prompt("", {"sample.sample.start": "x"}) == "x"
    assert resolve_prompt("", {"sample.sample.start": "FILE:x"}) is None
    assert resolve_prompt("FILE:x", {}) == "FILE:x"


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_symbols_of_control_characters_stand_for_the_characters(text: str) -> None:
    assert replace_symbols(visible_line(text)) == text


def test_history_goes_back_and_forth_and_keeps_the_unfinished_prompt() -> None:
    history = History(["a", "b"])

    walked = [history.move(1, "draft"), history.move(1, "b"), history.move(1, "a")]
    walked += [history.move(-1, "a"), history.move(-1, "b"), history.move(-1, "draft")]

    assert walked == ["b", "a", "a", "b", "draft", "draft"]


def test_history_keeps_the_newest_prompts_once_and_is_bounded() -> None:
    history = History()
    for number in range(60):
        history.add(f"p{number}")
    history.add("p30")
    history.add("")
    history.add("x" * 10_000)

    assert len(history.entries) == MAX_PROMPTS
    assert history.entries[-2:] == ["p59", "p30"]
    assert history.entries.count("p30") == 1


def test_a_history_of_hostile_prompts_fits_into_the_settings_and_is_read_back(
    tmp_path: Path,
) -> None:
    history = History([3, None, "\x1b]0;x\x07", "\ud800"])
    for number in range(MAX_PROMPTS):
        history.add(f"{number}" + "😀" * 900)
    settings = Settings()
    settings.remember("sample", "history", history.entries)
    save_settings(tmp_path / "console.toml", settings)

    kept = load_settings(tmp_path / "console.toml").remembered("sample", "history", [])

    assert History(kept).entries == history.entries
    assert not any(CONTROL.search(entry) for entry in History(["\x1b[31m\n"]).entries)


def test_samples_are_written_completely_and_never_over_another_file(tmp_path: Path) -> None:
    rows = [{"text": "\x1b[31m\n"}, {"text": "ü"}]

    paths = {export_samples(rows, tmp_path) for _ in range(3)}

    assert len(paths) == 3
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == [{"event": "sample", **row} for row in rows]


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="could not be written"):
        export_samples([], tmp_path / "missing")
