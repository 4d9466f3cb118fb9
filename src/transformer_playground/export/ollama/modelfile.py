"""Ollama's Modelfile: where the weights are, the template of a prompt and the sampling settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformer_playground.config.sample import DecodingConfig
from transformer_playground.errors import UsageError

FILE_NAME = "Modelfile"
PLAIN_TEMPLATE = "{{ .Prompt }}"
"""The prompt alone, to be continued."""

_QUOTES = '"""'
# Ollama's word for all tokens; 0 would be its default of 40 in some versions.
_ALL_TOKENS = 1_000_000


@dataclass(frozen=True)
class Modelfile:
    """Content of a Modelfile.

    Attributes:
        weights: File name of the GGUF file beside it.
        template: Go template of the prompt; {{ .Prompt }} is what the user writes.
        context: Context in tokens.
        decoding: Sampling settings.
        stop: Texts that end an answer, besides the end token.
        licence: Licence of the model; empty = not stated.
    """

    weights: str
    template: str
    context: int
    decoding: DecodingConfig
    stop: tuple[str, ...] = ()
    licence: str = ""

    def check(self) -> None:
        """Check that the texts can be quoted.

        Raises:
            UsageError: One has three double quotes in a row, or ends with a quote.
        """
        stops = [("stop text", text) for text in self.stop]
        for name, text in (("template", self.template), ("license", self.licence), *stops):
            if _QUOTES in text or text.endswith('"'):
                raise UsageError(
                    f"the {name} cannot be written into a Modelfile, because it has "
                    "three double quotes in a row or one at its end.",
                    "Change it, for example by a space at its end.",
                )

    def parameters(self) -> dict[str, Any]:
        """The PARAMETER lines by name."""
        decoding = self.decoding
        return {
            "num_ctx": self.context,
            "num_predict": decoding.max_new_tokens,
            "temperature": float(decoding.temperature),
            "top_k": decoding.top_k or _ALL_TOKENS,
            "top_p": float(decoding.top_p),
            "min_p": 0.0,
            "repeat_penalty": 1.0,
        }

    def text(self) -> str:
        """The file."""
        lines = [f"FROM ./{self.weights}", f"TEMPLATE {_QUOTES}{self.template}{_QUOTES}"]
        lines += [f"PARAMETER {name} {value}" for name, value in self.parameters().items()]
        lines += [f"PARAMETER stop {_quoted(text)}" for text in self.stop]
        if self.licence:
            lines.append(f"LICENSE {_QUOTES}{self.licence}{_QUOTES}")
        return "\n".join(lines) + "\n"

    def prompt(self, text: str) -> str:
        """What the model reads if the user writes `text`; for templates of one variable."""
        return self.template.replace("{{ .Prompt }}", text).replace("{{.Prompt}}", text)

    def server_request(self) -> Mapping[str, Any]:
        """The same settings for llama.cpp's server."""
        parameters = self.parameters()
        length = parameters.pop("num_predict")
        del parameters["num_ctx"]
        return {**parameters, "n_predict": length, "stop": list(self.stop)}


def _quoted(text: str) -> str:
    """A text of one line, or several, in quotes that Ollama removes."""
    return f"{_QUOTES}{text}{_QUOTES}" if '"' in text or "\n" in text else f'"{text}"'
