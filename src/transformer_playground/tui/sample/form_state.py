"""Form of a sample request: its fields, and the history of prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from transformer_playground.config.reference import SchemaField, schema_index
from transformer_playground.config.sample import (
    PROMPT_FILE,
    DecodingConfig,
    SampleRuntimeConfig,
)
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.terminal import visible_line

MOST_PROMPTS = 50
# All of them together stay far below what a settings file may hold.
_LONGEST_KEPT = 1000
_MOST_TOKENS = 100_000
_TABLES: Mapping[str, type[BaseModel]] = {
    "sample": DecodingConfig,
    "runtime": SampleRuntimeConfig,
}
# What `visible_line` shows a control character as, back to the character.
_MEANT = {0x2400 + code: chr(code) for code in range(0x20)} | {0x2421: "\x7f"}


@dataclass(frozen=True)
class Knob:
    """A field of the form.

    Attributes:
        table: Its table below `[sample]`.
        name: Its key there.
        label: What the form calls it.
    """

    table: str
    name: str
    label: str

    @property
    def entry(self) -> SchemaField:
        """What the schema says about it."""
        return schema_index()["sample", self.table, self.name]


KNOBS = (
    Knob("sample", "temperature", "temp."),
    Knob("sample", "top_k", "top-k"),
    Knob("sample", "top_p", "top-p"),
    Knob("sample", "max_new_tokens", "length"),
    Knob("sample", "num_samples", "samples"),
    Knob("runtime", "seed", "seed"),
)


def default_of(knob: Knob, settings: Mapping[str, Any]) -> str:
    """What an empty field stands for: a run's saved value, else the schema's.

    Args:
        knob: The field.
        settings: The run's settings by dotted key, untrusted.
    """
    saved = settings.get(knob.entry.name)
    text = "" if saved is None else format(saved)
    return text if text and complaint(knob, text) is None else format(knob.entry.default)


def default_prompt(settings: Mapping[str, Any]) -> str:
    """What an empty prompt stands for, untrusted text; it may be FILE:path."""
    saved = settings.get("sample.sample.start")
    return saved if isinstance(saved, str) else DecodingConfig().start


def complaint(knob: Knob, text: str) -> str | None:
    """What is wrong with a field, in one sentence; None if nothing is."""
    try:
        _value(knob, text)
    except ValueError:
        return f"{knob.label} must be {knob.entry.allowed}."
    return None


def excess(values: Mapping[str, str], columns: int) -> str | None:
    """What is wrong with the fields together: more tokens than the console wants to hold.

    Args:
        values: Valid text of each knob by its name.
        columns: From how many checkpoints is drawn.
    """
    count = int(values["max_new_tokens"]) * int(values["num_samples"]) * max(1, columns)
    if count <= _MOST_TOKENS:
        return None
    return (
        f"At most {_MOST_TOKENS:,} tokens can be drawn here, all samples together; "
        "tp generate draws any number."
    )


def request_of(
    values: Mapping[str, str], prompt: str | None, *, unconditional: bool
) -> SampleRequest:
    """The request of a form whose fields are valid.

    Args:
        values: Text of each knob by its name.
        prompt: From `prompt_of`.
        unconditional: Whether to sample without a prompt.

    Raises:
        ValueError: A field is not valid.
    """
    settings: dict[str, Any] = {knob.name: _value(knob, values[knob.name]) for knob in KNOBS}
    n_samples = settings.pop("num_samples")
    return SampleRequest(
        prompt=prompt,
        prompt_is_literal=True,
        unconditional=unconditional,
        n_samples=n_samples,
        **settings,
    )


def prompt_of(typed: str, settings: Mapping[str, Any]) -> str | None:
    """The prompt to sample with; None leaves a saved FILE:path to be read.

    Args:
        typed: The prompt as it was typed, control characters as their symbols.
        settings: Of the run whose prompt an empty field stands for.
    """
    if typed:
        return meant(typed)
    default = default_prompt(settings)
    return None if default.startswith(PROMPT_FILE) else default


def meant(typed: str) -> str:
    """What was meant by a line in which control characters are symbols: ␊ for a line break."""
    return typed.translate(_MEANT)


class History:
    """Prompts of the past, and where among them the user is.

    Args:
        saved: What the settings file had, untrusted; oldest first.
    """

    def __init__(self, saved: Sequence[object] = ()) -> None:
        texts = [visible_line(each) for each in saved if isinstance(each, str)]
        self._entries = [text for text in texts if 0 < len(text) <= _LONGEST_KEPT][-MOST_PROMPTS:]
        self._back = 0
        self._draft = ""

    @property
    def entries(self) -> list[str]:
        """Every prompt kept, oldest first."""
        return list(self._entries)

    def add(self, typed: str) -> None:
        """Keep a prompt as the newest one; one that is there already moves to the end."""
        self._back, self._draft = 0, ""
        text = visible_line(typed)
        if not 0 < len(text) <= _LONGEST_KEPT:
            return
        others = [entry for entry in self._entries if entry != text]
        self._entries = [*others, text][-MOST_PROMPTS:]

    def move(self, by: int, current: str) -> str:
        """The prompt `by` further back (negative: forward); what was being typed comes first.

        Args:
            by: 1 for the older one, -1 for the newer one.
            current: What the field says now.
        """
        if self._back == 0:
            self._draft = current
        self._back = min(max(0, self._back + by), len(self._entries))
        return self._entries[-self._back] if self._back else self._draft


def _value(knob: Knob, text: str) -> int | float:
    value = int(text) if isinstance(knob.entry.default, int) else float(text)
    try:
        _TABLES[knob.table].model_validate({knob.name: value})
    except ValidationError as error:
        raise ValueError(str(error)) from error
    return value
