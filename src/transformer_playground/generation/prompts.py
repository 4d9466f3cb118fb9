"""Prompts: from the configured start text or file to token ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import PROMPT_FILE, DecodingConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import SamplingError

# Far above any context; an endless input (a device, a pipe) must not fill the memory.
_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Prompt:
    """The prompt's text, shown before a sample, and its token ids."""

    text: str
    tokens: tuple[int, ...]


def resolve_prompt(
    decoding: DecodingConfig,
    tokenizer: Tokenizer,
    prepare: PrepareConfig,
    *,
    text: str | None = None,
) -> Prompt:
    """Encode a prompt in the same way as the training data.

    The start-of-text token is prepended where training documents start with it: with one document
    per line, and for base models whose tokenizer does so.

    Args:
        decoding: `start` is the text, or FILE:path of a UTF-8 file; `unconditional` ignores it and
            starts from the start-of-text token.
        tokenizer: The tokenizer of the model.
        prepare: The settings of its training data.
        text: Prompt text to use literally instead of `start`.

    Raises:
        SamplingError: The file cannot be read, or the prompt is empty.
        DataError: The text has characters that the tokenizer lacks.
    """
    bos = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    if decoding.unconditional:
        return Prompt("", bos or tuple(tokenizer.encode("\n")))
    text = _prompt_text(decoding.start) if text is None else text
    tokens = tuple(tokenizer.encode(text))
    if prepare.documents == "lines" or tokenizer.prepends_bos or not tokens:
        tokens = bos + tokens
    if not tokens:
        raise SamplingError(
            "the prompt is empty and the tokenizer has no start-of-text token.",
            "Give at least one character, for example --prompt with a line break.",
        )
    return Prompt(text, tokens)


def _prompt_text(start: str) -> str:
    if not start.startswith(PROMPT_FILE):
        return start
    name = start.removeprefix(PROMPT_FILE)
    if not name or "\0" in name:
        raise SamplingError(
            f"the prompt '{start}' names no file.", f"Write the path after {PROMPT_FILE}."
        )
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise SamplingError(
            f"the home folder of the prompt file {name} is unknown.", "Write the path without ~."
        ) from error
    try:
        with path.open("rb") as file:
            return read_prompt(file, f"the prompt file {path}")
    except OSError as error:
        raise SamplingError(f"the prompt file {path} cannot be read: {error.strerror}.") from error


def read_prompt(file: BinaryIO, name: str) -> str:
    """Text of an open file, with normalised line ends; errors call the file `name`.

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
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SamplingError(
            f"{name} is not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}.",
            "Convert it to UTF-8.",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
