"""Answers in OpenAI's form: completions and chats, whole or as chunks of a stream."""

import secrets
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.generation.samples import Alternative, SampledToken, SampleEnd
from transformer_playground.serving.jobs import PromptScores

Interface = Literal["completions", "chat"]
_NAMES = {
    ("completions", False): ("cmpl", "text_completion"),
    ("completions", True): ("cmpl", "text_completion"),
    ("chat", False): ("chatcmpl", "chat.completion"),
    ("chat", True): ("chatcmpl", "chat.completion.chunk"),
}


class Echo(NamedTuple):
    """The prompt as the beginning of a completion: its text, tokens and log-probabilities."""

    text: str
    tokens: tuple[int, ...]
    scores: PromptScores | None


class Writer:
    """Writes the documents of one answer.

    Args:
        interface: The form of the documents.
        model: Name of the model.
        tokenizer: Names tokens in log-probabilities.
        is_stream: Whether documents are chunks.
        has_logprobs: Whether they contain log-probabilities.
    """

    def __init__(
        self,
        interface: Interface,
        model: str,
        tokenizer: Tokenizer,
        *,
        is_stream: bool,
        has_logprobs: bool,
    ) -> None:
        prefix, kind = _NAMES[interface, is_stream]
        self._interface, self._tokenizer = interface, tokenizer
        self._is_stream, self._has_logprobs = is_stream, has_logprobs
        self._head = {
            "id": f"{prefix}-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
        }

    def document(
        self, choices: Sequence[dict[str, Any]], usage: dict[str, int] | None = None
    ) -> dict[str, Any]:
        """A document with these choices."""
        return {**self._head, "choices": list(choices)} | ({"usage": usage} if usage else {})

    def choice(
        self,
        index: int,
        tokens: Sequence[SampledToken],
        end: SampleEnd | None,
        *,
        offset: int = 0,
        echo: Echo | None = None,
    ) -> dict[str, Any]:
        """One choice, or a part of it in a chunk.

        Args:
            index: Number of the choice.
            tokens: New tokens.
            end: Its end, if it has ended.
            offset: Characters of the choice before these tokens.
            echo: The prompt, if it is the beginning.
        """
        text = (echo.text if echo else "") + "".join(token.text for token in tokens)
        text += end.text if end else ""
        choice: dict[str, Any] = {"index": index, "logprobs": None}
        if self._interface == "completions":
            choice["text"] = text
            if self._has_logprobs:
                choice["logprobs"] = self._lists(tokens, offset, echo)
        else:
            message = {"content": text} if text or not self._is_stream else {}
            if self._is_stream:
                choice["delta"] = message
            else:
                choice["message"] = {"role": "assistant", **message, "refusal": None}
            if self._has_logprobs:
                content = [self._entry(token) for token in tokens]
                choice["logprobs"] = {"content": content, "refusal": None}
        choice["finish_reason"] = end.finish_reason if end else None
        return choice

    def opening(self, index: int) -> dict[str, Any]:
        """The first chunk of a choice of a chat, which says who speaks."""
        delta = {"role": "assistant", "content": ""}
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}

    def _lists(
        self, tokens: Sequence[SampledToken], offset: int, echo: Echo | None
    ) -> dict[str, Any]:
        """Log-probabilities of completions: parallel lists."""
        lists: dict[str, list[Any]] = {
            "tokens": [],
            "token_logprobs": [],
            "top_logprobs": [],
            "text_offset": [],
        }

        def add(
            token: int,
            logprob: float | None,
            others: tuple[Alternative, ...] | None,
            position: int,
        ) -> None:
            lists["tokens"].append(self._name(token))
            lists["token_logprobs"].append(logprob)
            named = (
                None if others is None else {self._name(each.id): each.logprob for each in others}
            )
            lists["top_logprobs"].append(named)
            lists["text_offset"].append(position)

        if echo is not None and echo.scores is not None:
            for token, logprob, others in zip(echo.tokens, *echo.scores, strict=True):
                add(token, logprob, others, offset)
                offset += len(self._tokenizer.decode([token]))
        elif echo is not None:
            offset += len(echo.text)
        for drawn in tokens:
            add(drawn.id, drawn.logprob, drawn.alternatives, offset)
            offset += len(drawn.text)
        return lists

    def _entry(self, token: SampledToken) -> dict[str, Any]:
        """Log-probabilities of a chat: one object for each token."""
        others = [self._named(each.id, each.logprob) for each in token.alternatives]
        return self._named(token.id, token.logprob) | {"top_logprobs": others}

    def _named(self, token: int, logprob: float) -> dict[str, Any]:
        raw = self._tokenizer.token_bytes(token)
        return {"token": self._name(token), "logprob": logprob, "bytes": list(raw)}

    def _name(self, token: int) -> str:
        raw = self._tokenizer.token_bytes(token)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            # Part of a character, written as OpenAI writes it.
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """The tokens of a request."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
