"""Form of a sample request: its fields, and the history of prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from transformer_playground.config.reference import SchemaField, schema_index
from transformer_playground.config.sample import (
    PROMPT_FILE,
    DecodingConfig,
    SampleRuntimeConfig,
)
from transformer_playground.config.train import DType
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.terminal import visible_line
from transformer_playground.tui.shared.text import replace_symbols

MAX_PROMPTS = 50
# Keeps the whole history far below the size limit of the settings file.
_MAX_LENGTH = 1000
_MAX_TOKENS = 100_000
_TABLES: Mapping[str, type[BaseModel]] = {
    "sample": DecodingConfig,
    "runtime": SampleRuntimeConfig,
}


@dataclass(frozen=True)
class FormField:
    """A field of the form; the short label is for narrow screens."""

    table: str
    name: str
    label: str
    short_label: str

    @property
    def entry(self) -> SchemaField:
        return schema_index()["sample", self.table, self.name]


FORM_FIELDS = (
    FormField("sample", "temperature", "temp.", "T"),
    FormField("sample", "top_k", "top-k", "k"),
    FormField("sample", "top_p", "top-p", "p"),
    FormField("sample", "max_new_tokens", "length", "len"),
    FormField("sample", "num_samples", "samples", "n"),
    FormField("runtime", "seed", "seed", "seed"),
)

_QUANTIZED = "int8"
WEIGHTS: tuple[str, ...] = (*get_args(DType), _QUANTIZED)
"""Types of the weights: a compute dtype, or int8 for those of linear layers."""
WEIGHTS_HELP = "Compute dtype, or int8: weights of linear layers in 8 bits, faster and less exact."


def default_text(field: FormField, settings: Mapping[str, Any]) -> str:
    """Value of an empty field: from the run's settings (untrusted), else the default."""
    saved = settings.get(field.entry.name)
    text = "" if saved is None else format(saved)
    return text if text and field_error(field, text) is None else format(field.entry.default)


def default_prompt(settings: Mapping[str, Any]) -> str:
    """Prompt of an empty field, untrusted text; it may be FILE:path."""
    saved = settings.get("sample.sample.start")
    return saved if isinstance(saved, str) else DecodingConfig().start


def default_weights(settings: Mapping[str, Any]) -> str:
    """Type of the weights if none is typed: that of the run's settings (untrusted)."""
    if settings.get("sample.runtime.quantization") == _QUANTIZED:
        return _QUANTIZED
    saved = settings.get("sample.runtime.dtype")
    is_known = isinstance(saved, str) and saved in WEIGHTS
    return str(saved) if is_known else SampleRuntimeConfig().dtype


def parse_weights(text: str) -> str | None:
    """A type of weights, also from a beginning that only it has; None if no type is typed.

    Raises:
        ValueError: No type or several begin so; the message is one sentence.
    """
    if not text:
        return None
    found = [each for each in WEIGHTS if each.startswith(text.lower())]
    if len(found) != 1:
        raise ValueError(f"weights must be {', '.join(WEIGHTS[:-1])} or {WEIGHTS[-1]}.")
    return found[0]


def weights_error(text: str) -> str | None:
    """Error message for a type of weights; None if it is valid."""
    try:
        parse_weights(text)
    except ValueError as error:
        return str(error)
    return None


def field_error(field: FormField, text: str) -> str | None:
    """Error message for a field; None if it is valid."""
    try:
        _value(field, text)
    except ValueError:
        return f"{field.label} must be {field.entry.allowed}."
    return None


def total_error(values: Mapping[str, str], columns: int) -> str | None:
    """Error message if the fields request more tokens in total than the console can hold.

    Args:
        values: Valid text of each field by its name.
    """
    count = int(values["max_new_tokens"]) * int(values["num_samples"]) * max(1, columns)
    if count <= _MAX_TOKENS:
        return None
    return f"The console samples at most {_MAX_TOKENS:,} tokens in total; tp generate has no limit."


def build_request(
    values: Mapping[str, str], prompt: str | None, *, unconditional: bool, weights: str = ""
) -> SampleRequest:
    """Sample request of the form; without a type of weights it is the run's.

    Raises:
        ValueError: A field is not valid.
    """
    settings: dict[str, Any] = {
        field.name: _value(field, values[field.name]) for field in FORM_FIELDS
    }
    n_samples = settings.pop("num_samples")
    kind = parse_weights(weights)
    if kind == _QUANTIZED:
        settings["quantization"] = kind
    elif kind is not None:
        settings |= {"dtype": kind, "quantization": "none"}
    return SampleRequest(
        prompt=prompt,
        prompt_is_literal=True,
        unconditional=unconditional,
        n_samples=n_samples,
        **settings,
    )


def resolve_prompt(typed: str, settings: Mapping[str, Any]) -> str | None:
    """Prompt to sample with; None if the default is a FILE:path that sampling must read.

    Args:
        typed: Typed text, with symbols for control characters.
        settings: Settings of the run, for the default.
    """
    if typed:
        return replace_symbols(typed)
    default = default_prompt(settings)
    return None if default.startswith(PROMPT_FILE) else default


class History:
    """Prompt history with a position for the up and down keys.

    Args:
        saved: Prompts from the settings file, untrusted; oldest first.
    """

    def __init__(self, saved: Sequence[object] = ()) -> None:
        texts = [visible_line(each) for each in saved if isinstance(each, str)]
        self._entries = [text for text in texts if 0 < len(text) <= _MAX_LENGTH][-MAX_PROMPTS:]
        self._back = 0
        self._draft = ""

    @property
    def entries(self) -> list[str]:
        """Prompts, oldest first."""
        return list(self._entries)

    def add(self, typed: str) -> None:
        """Append a prompt, or move it to the end if it is there already."""
        self._back, self._draft = 0, ""
        text = visible_line(typed)
        if not 0 < len(text) <= _MAX_LENGTH:
            return
        others = [entry for entry in self._entries if entry != text]
        self._entries = [*others, text][-MAX_PROMPTS:]

    def move(self, by: int, current: str) -> str:
        """The next older prompt (`by` = 1) or newer one (-1); the newest is the unsent text."""
        if self._back == 0:
            self._draft = current
        self._back = min(max(0, self._back + by), len(self._entries))
        return self._entries[-self._back] if self._back else self._draft


def _value(field: FormField, text: str) -> int | float:
    value = int(text) if isinstance(field.entry.default, int) else float(text)
    try:
        _TABLES[field.table].model_validate({field.name: value})
    except ValidationError as error:
        raise ValueError(str(error)) from error
    return value
