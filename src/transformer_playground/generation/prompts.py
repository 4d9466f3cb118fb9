"""From what the user asked for to the tokens a model starts with."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import PROMPT_FILE, DecodingConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import SamplingError

# Far above any context. What never ends (a device, a forgotten pipe) must not fill the memory.
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Prompt:
    """The text shown before a sample, and the token ids the model is given."""

    text: str
    tokens: tuple[int, ...]


def resolve_prompt(
    decoding: DecodingConfig,
    tokenizer: Tokenizer,
    prepare: PrepareConfig,
    *,
    text: str | None = None,
) -> Prompt:
    """Encode a prompt the way the training data was encoded.

    Args:
        decoding: `start` is the text, or FILE:path to read it from a UTF-8 file; `unconditional`
            ignores it and begins as a document begins.
        tokenizer: The tokenizer of the model.
        prepare: The settings its data was prepared with: where each line is a document, or each
            document begins with the start-of-text token of a pretrained model, prompts do too.
        text: The prompt itself, whatever it begins with; used instead of `start`.

    Raises:
        SamplingError: The file cannot be read, or there is nothing to start from.
        DataError: The text has characters that the tokenizer lacks.
    """
    opening = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    if decoding.unconditional:
        return Prompt("", opening or _encoded("\n", tokenizer))
    text = _prompt_text(decoding.start) if text is None else text
    tokens = _encoded(text, tokenizer)
    opened = prepare.documents == "lines" or tokenizer.prepends_bos
    if opened or not tokens:
        tokens = opening + tokens
    if not tokens:
        raise SamplingError(
            "the prompt is empty and the tokenizer has no start-of-text token.",
            "Give at least one character, for example --prompt with a line break.",
        )
    return Prompt(text, tokens)


def _encoded(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text))


def _prompt_text(start: str) -> str:
    if not start.startswith(PROMPT_FILE):
        return start
    stated = start.removeprefix(PROMPT_FILE)
    if not stated or "\0" in stated:
        raise SamplingError(
            f"the prompt '{start}' names no file.", f"Write the path behind {PROMPT_FILE}."
        )
    try:
        path = Path(stated).expanduser()
    except RuntimeError as error:
        raise SamplingError(
            f"the prompt file {stated} is in a home folder that is not known.",
            "Write the path without ~.",
        ) from error
    try:
        with path.open("rb") as file:
            return read_prompt(file, f"the prompt file {path}")
    except OSError as error:
        raise SamplingError(f"the prompt file {path} cannot be read: {error.strerror}.") from error


def read_prompt(file: BinaryIO, name: str) -> str:
    """The whole text of an open file, its line ends as newlines.

    Args:
        file: The file, read to its end.
        name: What it is called in errors.

    Raises:
        SamplingError: The bytes are not UTF-8, or beyond 64 MiB.
        OSError: The file cannot be read.
    """
    data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise SamplingError(
            f"{name} is larger than {_MOST_BYTES >> 20} MiB.",
            "Give its end only: a model reads no more than its context.",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SamplingError(
            f"{name} is not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}.",
            "Convert it to UTF-8.",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
