"""Bodies of requests: untrusted JSON, checked field by field.

A field that OpenAI's interface has but this server has no use for is accepted only with the value
that changes nothing; any other value and any unknown field is an error that names it.
"""

from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transformer_playground.serving.errors import ApiError

MAX_CHOICES = 128
"""Completions of one request, over all of its prompts."""
_MAX_STOPS = 16
_MAX_STOP = 1000
_MAX_ALTERNATIVES = 20
_SEED = 1 << 63

_Zero = Annotated[float, Field(ge=0, le=0)] | None
_Stop = Annotated[str, Field(min_length=1, max_length=_MAX_STOP)]


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class TextFormat(BaseModel):
    """The form of an answer: text only."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]


class Body(BaseModel):
    """Fields of completions and chat completions."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str | None = None
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1 << 31)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    max_tokens: int | None = Field(None, ge=0)
    stop: _Stop | Annotated[list[_Stop], Field(max_length=_MAX_STOPS)] | None = None
    seed: int | None = Field(None, ge=-_SEED, lt=_SEED)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    presence_penalty: _Zero = None
    frequency_penalty: _Zero = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def sends_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class CompletionBody(Body):
    """Body of `/v1/completions`."""

    # Its four forms are told apart in `prompts`.
    prompt: Any = "\n"
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=_MAX_ALTERNATIVES)
    best_of: int | None = Field(None, ge=1, le=MAX_CHOICES)
    suffix: Annotated[str, Field(max_length=0)] | None = None


class Message(BaseModel):
    """One message of a chat."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str
    name: str | None = Field(None, max_length=100)


class ChatBody(Body):
    """Body of `/v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=0)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=_MAX_ALTERNATIVES)
    response_format: TextFormat | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    store: Literal[False] | None = None


_Body = TypeVar("_Body", bound=BaseModel)


def parse(raw: bytes, kind: type[_Body]) -> _Body:
    """Parse and check a body.

    Raises:
        ApiError: It is not JSON, or a field is missing, unknown or wrong.
    """
    try:
        document = orjson.loads(raw)
    except ValueError as error:
        raise ApiError(400, f"The body is not valid JSON: {error}.", code="invalid_json") from None
    if not isinstance(document, dict):
        raise ApiError(400, "The body is not a JSON object.", code="invalid_json")
    try:
        return kind.model_validate(document)
    except (ValidationError, RecursionError) as error:
        raise _field_error(error) from None


def _field_error(error: ValidationError | RecursionError) -> ApiError:
    if isinstance(error, RecursionError):
        return ApiError(400, "The body is nested too deeply.", code="invalid_json")
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    shown = ".".join(map(str, first["loc"]))[:200]
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"Unrecognized request argument: {shown}.", param=name[:200])
    if first["type"] == "missing":
        return ApiError(400, f"'{shown}' is missing.", param=name)
    if name in _WITHOUT_EFFECT:
        return ApiError(400, f"'{name}' is not supported.", param=name, code="unsupported")
    return ApiError(400, f"'{shown}': {first['msg']}.", param=name, code="invalid_value")


_WITHOUT_EFFECT = {
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "suffix",
    "tools",
    "tool_choice",
    "response_format",
    "store",
}
