"""A Hugging Face folder, opened again by transformers."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer_playground.export.hf.custom import private_modules
from transformer_playground.export.hf.tokenizer import FastTokenizer
from transformer_playground.hub import silence_libraries, translate_load_errors
from transformer_playground.model.base import evaluating


class TransformersReader:
    """The model and tokenizer of a folder, loaded by the Auto classes in float32.

    Args:
        folder: The folder.
        remote_code: Run the modeling file in the folder.
        symbols: Special tokens that are recognised in a text.

    Raises:
        ModelError: transformers cannot load it.
    """

    def __init__(
        self, folder: Path, *, remote_code: bool = False, symbols: Sequence[str] = ()
    ) -> None:
        own_modules = private_modules() if remote_code else contextlib.nullcontext()
        with translate_load_errors(str(folder)), own_modules:
            import transformers

            self.name = f"transformers {transformers.__version__}"
            options = {"trust_remote_code": remote_code, "local_files_only": True}
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, **options
            )
            self.model = model.eval()
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, **options)
            spec = self.tokenizer.backend_tokenizer.to_str()
            self._encoder = FastTokenizer(spec, symbols=symbols)

    def logprobs(self, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, T, vocab_size)."""
        with evaluating(self.model), silence_libraries():
            logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits
        return logits.float().log_softmax(-1)

    def continue_greedily(self, prompt: Sequence[int], count: int) -> list[int]:
        """The most likely tokens, by `generate` with its key-value cache."""
        tokens = torch.tensor([list(prompt)])
        with torch.inference_mode(), silence_libraries():
            found = self.model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                do_sample=False,
                max_new_tokens=count,
                temperature=None,
                top_k=None,
                top_p=None,
            )
        ids: list[int] = found[0, len(prompt) :].tolist()
        return ids

    def encode(self, text: str) -> list[int]:
        """Token ids; names of special tokens are ordinary text, except for the symbols."""
        return self._encoder.encode(text)
