"""The content of a GGUF file for a run: metadata, tokenizer and tensors."""

from collections.abc import Iterator

import gguf
import torch
from torch import Tensor

from transformer_playground.errors import ExportError
from transformer_playground.export.exportable import Exportable, Subject
from transformer_playground.export.gguf.architectures import choose_architecture
from transformer_playground.export.gguf.base_models import base_keys, base_tensors, find_family
from transformer_playground.export.gguf.metadata import gpt_keys
from transformer_playground.export.gguf.model_file import ModelFile, Value
from transformer_playground.export.gguf.tensors import NamedTensor, gpt_tensors
from transformer_playground.export.gguf.tokenizers import tokenizer_keys, vocabulary_of
from transformer_playground.export.gguf.vocabulary import Vocabulary

_PER_TOKEN = frozenset({"token_embd.weight", "output.weight"})
_SHORTEST_CONTEXT = 2


def check_content(subject: Subject) -> None:
    """Check that a run can be written, before its model is built.

    Raises:
        ExportError: llama.cpp has no counterpart of a setting or of the tokenizer.
    """
    if subject.config is not None:
        choose_architecture(subject.config)
    vocabulary = vocabulary_of(subject.tokenizer)
    if subject.block_size < _SHORTEST_CONTEXT:
        raise ExportError(
            f"llama.cpp needs a context of at least {_SHORTEST_CONTEXT} tokens, not "
            f"model.block_size = {subject.block_size}."
        )
    if len(vocabulary.tokens) > subject.vocab_size:
        raise ExportError(
            f"the tokenizer has {len(vocabulary.tokens):,} tokens, but the model only "
            f"{subject.vocab_size:,} rows for them."
        )


def file_content(source: Exportable, name: str) -> ModelFile:
    """The content of the file of a model.

    Embedding rows without a token are left out: they would take probability.

    Args:
        source: A model whose `check_content` succeeded.
        name: Name of the model, for people.

    Raises:
        ExportError: The base model cannot be written.
    """
    subject = source.subject
    vocabulary = vocabulary_of(subject.tokenizer)
    keys = _general_keys(subject, name) | dict(tokenizer_keys(vocabulary))
    if subject.config is None:
        config = source.model.config
        architecture = gguf.MODEL_ARCH_NAMES[find_family(config).architecture]
        keys |= base_keys(config, vocabulary.rows)
    else:
        chosen = choose_architecture(subject.config)
        architecture = chosen.name
        keys |= gpt_keys(source.gpt.config, chosen, vocabulary.rows)
    rows = _rows(source, vocabulary)

    def tensors() -> Iterator[NamedTensor]:
        own = (
            base_tensors(source.model)
            if subject.config is None
            else gpt_tensors(source.gpt, choose_architecture(subject.config))
        )
        for key, tensor in own:
            yield key, tensor[rows] if key in _PER_TOKEN else tensor

    return ModelFile(architecture, keys, tensors)


def _general_keys(subject: Subject, name: str) -> dict[str, Value]:
    decoding = subject.decoding
    keys: dict[str, Value] = {
        "general.name": name,
        "general.sampling.temp": float(decoding.temperature),
        "general.sampling.top_k": decoding.top_k,
        "general.sampling.top_p": float(decoding.top_p),
        # llama.cpp's own default would hide unlikely tokens.
        "general.sampling.min_p": 0.0,
    }
    if subject.facts.licence:
        keys["general.license"] = subject.facts.licence
    return keys


def _rows(source: Exportable, vocabulary: Vocabulary) -> Tensor:
    """Indices (rows,) of the embedding rows that are written.

    An added end token has the row of the token that the model expects least, so that it takes no
    probability from others even where its suppression is not known.
    """
    known = torch.arange(len(vocabulary.tokens))
    if not vocabulary.needs_end:
        return known
    text = known[: source.subject.block_size]
    logprobs = source.logits(text.unsqueeze(0))[0, :, : len(known)].log_softmax(-1)
    return torch.cat((known, logprobs.amax(0).argmin().unsqueeze(0)))
