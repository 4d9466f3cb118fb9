"""Prompts: from the configured start text or file to token ids."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import (
    DEFAULT_PROMPT,
    PROMPT_FILE,
    PROMPT_SETTING,
    DecodingConfig,
)
from transformer_playground.data.sources.text import decode_text
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import DataError, SamplingError, translate_os_errors

# Far above any context; an endless input (a device, a pipe) must not fill the memory.
_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Prompt:
    """The prompt's text, shown before a sample, and its token ids.

    `fallback` says what replaces a default prompt that the tokenizer lacks; empty if nothing does.
    """

    text: str
    tokens: tuple[int, ...]
    fallback: str = ""

    def notices(self, block_size: int) -> tuple[str, ...]:
        """Sentences for the user: a fallback, and what exceeds a context of `block_size` tokens."""
        found = [self.fallback] if self.fallback else []
        if len(self.tokens) > block_size:
            found.append(
                f"the prompt has {len(self.tokens):,} tokens and the context {block_size:,}: "
                f"only the last {block_size:,} are used"
            )
        return tuple(found)


def resolve_prompt(
    decoding: DecodingConfig,
    tokenizer: Tokenizer,
    prepare: PrepareConfig,
    *,
    text: str | None = None,
    setting: str = PROMPT_SETTING,
    first_token: int | None = None,
) -> Prompt:
    """Encode a prompt in the same way as the training data.

    The start-of-text token is prepended where training documents start with it: with one document
    per line, and for base models whose tokenizer does so. Where the tokenizer lacks the default
    prompt, a line break, the start-of-text token or else the first token of the training text
    replaces it.

    Args:
        decoding: `start` is the text, or FILE:path of a UTF-8 file; `unconditional` ignores it and
            starts from the start-of-text token.
        tokenizer: The tokenizer of the model.
        prepare: The settings of its training data.
        text: Prompt text to use literally instead of `start`.
        setting: The setting or option that holds the prompt, for errors; empty if none does.
        first_token: First token of the training text, if known.

    Raises:
        SamplingError: The file cannot be read, or the prompt is empty.
        DataError: The text has characters that the tokenizer lacks.
    """
    where = f" ({setting})" if setting else ""
    bos = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    if decoding.unconditional and bos:
        return Prompt("", bos)
    if text is None:
        text = _prompt_text(decoding.start, where)
    if decoding.unconditional:
        text = DEFAULT_PROMPT
    try:
        tokens = tuple(tokenizer.encode(text))
    except DataError as error:
        if text != DEFAULT_PROMPT:
            raise DataError(
                f"The prompt{where} cannot be encoded: "
                f"{error.message[:1].lower()}{error.message[1:]}",
                error.hint,
            ) from error
        tokens = ()
    if text == DEFAULT_PROMPT and not tokens:
        return _fallback(tokenizer, first_token)
    if decoding.unconditional:
        return Prompt("", tokens)
    if prepare.documents == "lines" or tokenizer.prepends_bos or not tokens:
        tokens = bos + tokens
    if not tokens:
        raise SamplingError(
            f"the prompt{where} is empty and the tokenizer has no start-of-text token.",
            "Give at least one character, for example --prompt with a line break.",
        )
    return Prompt(text, tokens)


def _fallback(tokenizer: Tokenizer, first_token: int | None) -> Prompt:
    problem = f"the tokenizer lacks the default prompt {DEFAULT_PROMPT!r}"
    if tokenizer.bos_id is not None:
        opening = "the start-of-text token"
        return Prompt("", (tokenizer.bos_id,), f"{problem}: samples start with {opening}")
    token, source = (0, "") if first_token is None else (first_token, ", as the training text does")
    text = tokenizer.decode([token])
    return Prompt(text, (token,), f"{problem}: samples start with {text!r}{source}")


def _prompt_text(start: str, where: str) -> str:
    if not start.startswith(PROMPT_FILE):
        return start
    name = start.removeprefix(PROMPT_FILE)
    if not name or "\0" in name:
        raise SamplingError(
            f"the prompt '{start}'{where} names no file.", f"Write the path after {PROMPT_FILE}."
        )
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise SamplingError(
            f"the home folder of the prompt file {name}{where} is unknown.",
            "Write the path without ~.",
        ) from error
    shown = f"the prompt file {path}{where}"
    with translate_os_errors(SamplingError, f"{shown} cannot be read"), path.open("rb") as file:
        return read_prompt(file, shown)


def read_prompt(file: BinaryIO, name: str) -> str:
    """Text of an open file, read like training text; errors call the file `name`.

    Raises:
        SamplingError: The file is not UTF-8 or larger than 64 MiB.
        OSError: The file cannot be read.
    """
    data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise SamplingError(
            f"{name} is larger than {_MAX_BYTES >> 20} MiB.",
            "Use only its end: a model reads no more than its context.",
        )
    try:
        return "".join(decode_text(io.BytesIO(data), name))
    except DataError as error:
        raise SamplingError(error.message, error.hint) from error
