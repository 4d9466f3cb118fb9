"""Prompts of requests: text, tokens or a chat, as token ids of the served model."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import DataError, PlaygroundError
from transformer_playground.generation.prompts import resolve_prompt
from transformer_playground.serving.bodies import MAX_CHOICES, Message
from transformer_playground.serving.errors import ApiError


class PromptEncoder:
    """Encodes prompts as the training data was encoded.

    Args:
        tokenizer: The tokenizer of the run.
        prepare: The settings of its training data.
        decoding: The run's sampling settings.
        block_size: The longest context in tokens.
        vocab_size: Size of the model's vocabulary.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prepare: PrepareConfig,
        decoding: DecodingConfig,
        *,
        block_size: int,
        vocab_size: int,
    ) -> None:
        self._tokenizer, self._prepare = tokenizer, prepare
        self._decoding = decoding.model_copy(update={"unconditional": False})
        self._block_size = block_size
        self._vocab = min(tokenizer.vocab_size, vocab_size)
        sizes = (len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size))
        self._most_characters = (block_size + 2) * max(sizes)

    def prompts(self, value: object) -> list[tuple[int, ...]]:
        """Token ids of the prompts of a request: a text, a list of texts, tokens, or lists of them.

        Raises:
            ApiError: It is none of these, or a prompt cannot be encoded or is too long.
        """
        if isinstance(value, str):
            return [self.text(value)]
        if isinstance(value, list) and value and all(type(each) is int for each in value):
            return [self._tokens(value)]
        if not isinstance(value, list) or not 0 < len(value) <= MAX_CHOICES:
            raise _wrong(
                f"'prompt' is a text, a list of at most {MAX_CHOICES} texts, a list of token ids, "
                "or a list of such lists"
            )
        return [self.text(each) if isinstance(each, str) else self._tokens(each) for each in value]

    def text(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, after the start-of-text token where documents begin with it.

        Raises:
            ApiError: The text is empty, too long, or has characters that the tokenizer lacks.
        """
        # Far too long texts are refused before they are encoded.
        if len(text) > self._most_characters:
            raise self._too_long(f"{len(text):,} characters")
        try:
            prompt = resolve_prompt(
                self._decoding, self._tokenizer, self._prepare, text=text, setting="prompt"
            )
        except PlaygroundError as error:
            raise _wrong(str(error)) from None
        return self._fitting(prompt.tokens)

    def _tokens(self, ids: object) -> tuple[int, ...]:
        if not isinstance(ids, list) or not ids or not all(type(each) is int for each in ids):
            raise _wrong("'prompt' has a list that is empty or does not hold token ids")
        unknown = [each for each in ids if not 0 <= each < self._vocab]
        if unknown:
            raise _wrong(f"'prompt' has token id {unknown[0]}; ids are 0 to {self._vocab - 1}")
        return self._fitting(ids)

    def _fitting(self, tokens: Sequence[int]) -> tuple[int, ...]:
        if len(tokens) > self._block_size:
            raise self._too_long(f"{len(tokens):,} tokens")
        return tuple(tokens)

    def _too_long(self, size: str) -> ApiError:
        return ApiError(
            400,
            f"This model's context holds {self._block_size:,} tokens, the prompt has {size}.",
            param="prompt",
            code="context_length_exceeded",
        )


class ChatTemplate:
    """The chat template of a tokenizer folder, rendered without running code from it.

    Args:
        tokenizer: The loaded transformers tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = {str(token) for token in tokenizer.added_tokens_decoder.values()}

    @classmethod
    def load(cls, folder: Path) -> "ChatTemplate | None":
        """The template in a run's tokenizer folder; None if there is none."""
        if not (folder / "tokenizer.json").is_file():
            return None
        from transformers import AutoTokenizer

        with contextlib.suppress(OSError, ValueError):
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
            return cls(tokenizer) if tokenizer.chat_template else None
        return None

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat up to where the assistant answers.

        Raises:
            ApiError: The template refuses the messages, or one has the name of a special token.
        """
        for message in messages:
            # As part of the rendered text it would be read as the token itself.
            if found := [name for name in self._special if name and name in message.content]:
                raise _wrong(f"a message holds {found[0]!r}, a special token", "messages")
        chat = [each.model_dump(exclude_none=True) for each in messages]
        try:
            return self.encode(self.render(chat))
        except DataError as error:
            raise _wrong(error.message, "messages") from None

    def stop_tokens(self) -> frozenset[int]:
        """Special tokens that end the assistant's turn."""
        try:
            chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
            end = self.render(chat, then="end").rpartition("b")[2]
        except DataError:
            return frozenset()
        special = self._tokenizer.added_tokens_decoder
        return frozenset(token for token in self.encode(end) if token in special)

    def render(
        self,
        chat: Sequence[Mapping[str, str]],
        *,
        then: Literal["answer", "continue", "end"] = "answer",
    ) -> str:
        """The text of a chat, with the names of special tokens.

        Args:
            chat: Messages with `role` and `content`.
            then: Whether the assistant answers, continues the last message, or nothing follows.

        Raises:
            DataError: The template refuses the messages.
        """
        from jinja2 import TemplateError

        try:
            text: str = self._tokenizer.apply_chat_template(
                [dict(each) for each in chat],
                tokenize=False,
                add_generation_prompt=then == "answer",
                continue_final_message=then == "continue",
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise DataError(f"The chat template refuses the messages: {error}.") from None
        return text

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendered text; names of special tokens are these tokens."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _wrong(message: str, param: str = "prompt") -> ApiError:
    sentence = message[:1].upper() + message[1:]
    return ApiError(400, f"{sentence.rstrip('.')}.", param=param, code="invalid_value")
