"""The target `safetensors`: our own weights, settings and tokenizer as plain files."""

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import ExportError
from transformer_playground.export.exportable import Exportable, Subject
from transformer_playground.export.greedy import continue_greedily
from transformer_playground.export.hf.target import WEIGHTS_FILE, write_weights
from transformer_playground.export.hf.tokenizer import (
    TOKENIZER_FILE,
    FastTokenizer,
    write_tokenizer,
)
from transformer_playground.export.proof import Proof
from transformer_playground.export.request import ExportRequest
from transformer_playground.export.target import Written
from transformer_playground.files import replace_file, replace_json
from transformer_playground.model.base import evaluating
from transformer_playground.model.gpt import GPT

CONFIG_FILE = "config.json"
FORMAT = "transformer-playground"
# Only the layout of a matrix in memory may differ.
_TOLERANCE = 1e-5


class PlainTarget:
    """Our `[model]` table as JSON, and the weights under our own names."""

    def check(self, subject: Subject, request: ExportRequest) -> None:
        """See `Target.check`."""
        refuse_finetuned(subject, "safetensors")

    def write(self, source: Exportable, folder: Path, request: ExportRequest) -> None:
        """See `Target.write`."""
        dtype: torch.dtype = getattr(torch, request.weights)
        source.round_weights(dtype)
        subject = source.subject
        write_weights(dict(source.gpt.state_dict()), folder, dtype)
        document = {"format": FORMAT, "model": source.gpt.args(), "dtype": request.weights}
        replace_json(folder / CONFIG_FILE, document)
        write_tokenizer(subject.tokenizer, folder, context=subject.block_size)
        for name, content in subject.tokenizer.files.items():
            replace_file(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]

    def verify(self, written: Written) -> Proof:
        """See `Target.verify`."""
        reader = open_plain(written.folder, written.source.subject.padding.start)
        return written.prove(reader, tolerance=_TOLERANCE)

    def usage(self, subject: Subject, request: ExportRequest, folder: Path) -> str:
        """See `Target.usage`."""
        return "\n".join(
            [
                "```python",
                "import json",
                "from safetensors.torch import load_file",
                "from tokenizers import Tokenizer",
                "",
                f'weights = load_file("{WEIGHTS_FILE}")',
                f'settings = json.load(open("{CONFIG_FILE}"))["model"]',
                f'tokenizer = Tokenizer.from_file("{TOKENIZER_FILE}")',
                "```",
                "",
                "With Transformer Playground installed: `model = GPT(ModelConfig(**settings), "
                'settings["vocab_size"])`, then `model.load_state_dict(weights)`.',
            ]
        )


class LogitsReader:
    """An export that gives the logits of whole contexts, with a `tokenizer.json` beside it.

    Args:
        name: The program that reads it, and its version.
        logits: Logits (B, T, vocab_size) for tokens (B, T) int64.
        folder: The folder.
        vocab_size: Number of token ids that are not padding.
    """

    def __init__(
        self, name: str, logits: Callable[[Tensor], Tensor], folder: Path, vocab_size: int
    ) -> None:
        self.name = name
        self._logits = logits
        self._vocab_size = vocab_size
        self._tokenizer = FastTokenizer((folder / TOKENIZER_FILE).read_bytes())

    def logprobs(self, tokens: Tensor) -> Tensor:
        """See `Reader.logprobs`."""
        return self._logits(tokens).log_softmax(-1)

    def continue_greedily(self, prompt: Sequence[int], count: int) -> list[int]:
        """See `Reader.continue_greedily`; by a context of each length."""
        return continue_greedily(self._logits, prompt, count, self._vocab_size)

    def encode(self, text: str) -> list[int]:
        """See `Reader.encode`."""
        return self._tokenizer.encode(text)


def open_plain(folder: Path, vocab_size: int) -> LogitsReader:
    """The files of the target `safetensors`, opened without the run.

    Args:
        folder: The folder.
        vocab_size: Number of token ids that are not padding.
    """
    from safetensors.torch import load_file

    document: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_bytes())
    model = GPT(ModelConfig(**document["model"]), document["model"]["vocab_size"])
    model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    model.eval()

    def logits(tokens: Tensor) -> Tensor:
        with evaluating(model):
            found: Tensor = model(tokens)
        return found

    return LogitsReader(f"safetensors {version('safetensors')}", logits, folder, vocab_size)


def refuse_finetuned(subject: Subject, target: str) -> None:
    """Refuse a finetuned model, whose architecture is not ours.

    Raises:
        ExportError: It is one.
    """
    if subject.config is None:
        raise ExportError(
            f"--to {target} is for models trained from scratch; this run finetuned "
            f"{subject.facts.base_model}.",
            "Use --to hf, which merges the adapters into the base model.",
        )
