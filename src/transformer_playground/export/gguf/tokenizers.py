"""Tokenizers of ours as metadata that llama.cpp tokenizes with."""

from collections.abc import Mapping, Sequence
from typing import Any

from gguf import TokenType

from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.data.tokenizers.huggingface import HuggingFaceTokenizer
from transformer_playground.data.tokenizers.sentencepiece import SentencePieceTokenizer
from transformer_playground.errors import ExportError
from transformer_playground.export.gguf.base_tokenizers import huggingface_vocabulary
from transformer_playground.export.gguf.model_file import Value
from transformer_playground.export.gguf.vocabulary import Vocabulary, gpt2_text
from transformer_playground.export.hf.tokenizer import bpe_merges

# A merge that no text contains: an empty list is refused.
_NO_MERGE = "{0} {0}"
_FIRST_ASCII, _BEHIND_ASCII = 1, 128
_END_NAME = "<|end|>"


def tokenizer_keys(vocabulary: Vocabulary) -> Mapping[str, Value]:
    """Metadata of a tokenizer.

    llama.cpp takes token 11 as the end of a text if none is named, so a vocabulary that needs an
    end gets one more token, which is suppressed in sampling.
    """
    tokens, types = list(vocabulary.tokens), list(vocabulary.types)
    end = vocabulary.end
    keys: dict[str, Value] = {}
    if vocabulary.needs_end:
        end = len(tokens)
        tokens.append(_END_NAME)
        types.append(int(TokenType.CONTROL))
        keys["suppress_tokens"] = [end]
    if end is not None:
        keys["eos_token_id"] = end
        # Otherwise llama.cpp would take its own default.
        keys["bos_token_id"] = end if vocabulary.start is None else vocabulary.start
    keys |= {
        "model": vocabulary.model,
        "tokens": tokens,
        "token_type": types,
        "add_bos_token": vocabulary.adds_start,
        "add_eos_token": False,
        **vocabulary.keys,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items()}


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """A tokenizer as llama.cpp stores it.

    Raises:
        ExportError: llama.cpp cannot tokenize like it.
    """
    match tokenizer:
        case CharTokenizer():
            return _characters(tokenizer.characters)
        case Gpt2Tokenizer():
            return _gpt2(tokenizer)
        case SentencePieceTokenizer():
            return _sentencepiece(tokenizer)
        case HuggingFaceTokenizer():
            return huggingface_vocabulary(tokenizer)
    raise ExportError(f"llama.cpp has no counterpart of the tokenizer '{tokenizer.kind}'.")


def _characters(characters: Sequence[str]) -> Vocabulary:
    normal = [int(TokenType.NORMAL)] * len(characters)
    if all(_FIRST_ASCII <= ord(char) < _BEHIND_ASCII for char in characters):
        # The longest match refuses unknown characters. With longer characters it would read an
        # unknown one forever if that begins with a byte of a known one.
        return Vocabulary("rwkv", [_escaped(char) for char in characters], normal)
    tokens = [gpt2_text(char.encode()) for char in characters]
    merges = dict.fromkeys(
        f"{token[:stop]} {token[stop]}" for token in tokens for stop in range(1, len(token))
    )
    never = _NO_MERGE.format(gpt2_text(b"\xff"))
    keys: dict[str, Value] = {"pre": "gpt-2", "merges": list(merges) or [never]}
    return Vocabulary("gpt2", tokens, normal, keys=keys, needs_end=True)


def _escaped(char: str) -> str:
    r"""A character in the escapes of this format: \t, \n, \r, \\ and \xHH."""
    named = {"\t": r"\t", "\n": r"\n", "\r": r"\r", "\\": r"\\"}
    return named.get(char) or (char if char.isprintable() else f"\\x{ord(char):02x}")


def _gpt2(tokenizer: Gpt2Tokenizer) -> Vocabulary:
    pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    end = tokenizer.eos_id
    tokens = [
        piece.decode() if token == end else gpt2_text(piece) for token, piece in enumerate(pieces)
    ]
    types = [int(TokenType.NORMAL)] * len(tokens)
    assert end is not None
    types[end] = int(TokenType.CONTROL)
    merges = [f"{gpt2_text(one)} {gpt2_text(two)}" for one, two in bpe_merges(tuple(pieces[:end]))]
    return Vocabulary(
        "gpt2", tokens, types, start=end, end=end, keys={"pre": "gpt-2", "merges": merges}
    )


def _sentencepiece(tokenizer: SentencePieceTokenizer) -> Vocabulary:
    import sentencepiece.sentencepiece_model_pb2

    schema: Any = sentencepiece.sentencepiece_model_pb2
    model = schema.ModelProto.FromString(tokenizer.model)
    if model.trainer_spec.model_type != schema.TrainerSpec.ModelType.BPE:
        raise ExportError(
            "llama.cpp has no byte fallback for SentencePiece's unigram model, so it would drop "
            "rare characters.",
            "Prepare the data with prepare.sentencepiece_model = 'bpe', or export with --to hf.",
        )
    # The types of both formats have the same numbers.
    keys: dict[str, Value] = {
        "pre": "default",
        "scores": [float(piece.score) for piece in model.pieces],
        "unknown_token_id": model.trainer_spec.unk_id,
        "add_space_prefix": False,
        "remove_extra_whitespaces": False,
    }
    return Vocabulary(
        "llama",
        [piece.piece for piece in model.pieces],
        [int(piece.type) for piece in model.pieces],
        start=tokenizer.bos_id,
        end=tokenizer.eos_id,
        keys=keys,
    )
