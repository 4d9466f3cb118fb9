"""Tokenizers of base models as metadata that llama.cpp tokenizes with."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from gguf import TokenType

from transformer_playground.data.tokenizers.huggingface import (
    TOKENIZER_FILE,
    HuggingFaceTokenizer,
)
from transformer_playground.errors import ExportError
from transformer_playground.export.gguf.model_file import Value
from transformer_playground.export.gguf.vocabulary import Vocabulary

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS: Mapping[str, str] = {
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_REST}": "qwen2",
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{_REST}": "llama-bpe",
}
"""Regular expressions that divide a text into words, and llama.cpp's names of them."""

_IGNORES_MERGES = "llama-bpe"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_HINT = "Export with --to hf, or finetune a model with the tokenizer of Qwen, Llama or Gemma."


def huggingface_vocabulary(tokenizer: HuggingFaceTokenizer) -> Vocabulary:
    """The tokenizer of a base model.

    Raises:
        ExportError: It is not a byte-pair encoding, or divides texts in an unknown way.
    """
    spec = orjson.loads(tokenizer.files[TOKENIZER_FILE])
    model = spec["model"]
    if model.get("type", "BPE") != "BPE":
        raise ExportError(
            f"llama.cpp does not tokenize exactly like a {model['type']} model.", _HINT
        )
    merges = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model["merges"]]
    names = {token: name for name, token in model["vocab"].items()}
    names |= {added["id"]: added["content"] for added in spec.get("added_tokens", [])}
    tokens = [names.get(token, f"<|unused {token}|>") for token in range(tokenizer.vocab_size)]
    if model.get("byte_fallback"):
        algorithm = "llama"
        keys = _sentencepiece_keys(model) | {"scores": _scores(tokens, merges)}
    elif "ByteLevel" in str(spec.get("decoder")):
        algorithm = "gpt2"
        keys = {"pre": _split_name(spec), "merges": [f"{one} {two}" for one, two in merges]}
    else:
        raise ExportError("llama.cpp has no tokenizer without a token for each byte.", _HINT)
    return Vocabulary(
        algorithm,
        tokens,
        _types(tokenizer, spec, names),
        start=tokenizer.bos_id,
        end=tokenizer.eos_id,
        adds_start=tokenizer.bos_id is not None,
        keys=keys,
    )


def _types(
    tokenizer: HuggingFaceTokenizer, spec: Mapping[str, Any], names: Mapping[int, str]
) -> list[int]:
    kinds = dict.fromkeys(names, TokenType.NORMAL)
    if spec["model"].get("byte_fallback"):
        spelled = [token for token, name in names.items() if _BYTE.fullmatch(name)]
        kinds |= dict.fromkeys(spelled, TokenType.BYTE)
    for added in spec.get("added_tokens", []):
        # Names of special tokens are ordinary text, except for those that mark structure.
        special = added.get("special") and added["content"] not in tokenizer.symbols
        kinds[added["id"]] = TokenType.CONTROL if special else TokenType.USER_DEFINED
    return [int(kinds.get(token, TokenType.UNUSED)) for token in range(tokenizer.vocab_size)]


def _split_name(spec: Mapping[str, Any]) -> str:
    """llama.cpp's name of the rule that divides a text into words."""
    part = spec.get("pre_tokenizer") or {}
    parts = part.get("pretokenizers", [part])
    ignores = bool(spec["model"].get("ignore_merges"))
    match [one.get("type") for one in parts]:
        case ["ByteLevel"] if parts[0].get("use_regex", True) and not ignores:
            return "gpt-2"
        case ["Digits", "ByteLevel"] if parts[0].get("individual_digits") and not ignores:
            return "smollm"
        case ["Split", "ByteLevel"]:
            name = _SPLITS.get(str(parts[0].get("pattern", {}).get("Regex")))
            if name is not None and (name == _IGNORES_MERGES) == ignores:
                return name
    raise ExportError("llama.cpp has no name for how the tokenizer divides a text.", _HINT)


def _sentencepiece_keys(model: Mapping[str, Any]) -> dict[str, Value]:
    keys: dict[str, Value] = {
        "pre": "default",
        "add_space_prefix": False,
        "remove_extra_whitespaces": False,
    }
    if model.get("unk_token") in model["vocab"]:
        keys["unknown_token_id"] = model["vocab"][model["unk_token"]]
    return keys


def _scores(tokens: list[str], merges: list[list[str]]) -> list[float]:
    """Minus the place of the first merge that gives a token: earlier merges have larger scores."""
    places: dict[str, int] = {}
    for place, (one, two) in enumerate(merges):
        places.setdefault(one + two, place)
    return [-float(places.get(token, len(merges))) for token in tokens]


def composes_characters(tokenizer: HuggingFaceTokenizer) -> bool:
    """Whether a text is brought into Unicode's composed form (NFC) first."""
    spec = orjson.loads(tokenizer.files[TOKENIZER_FILE])
    return "'NFC'" in str(spec.get("normalizer"))
