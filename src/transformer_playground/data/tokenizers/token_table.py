"""The bytes of every token of a `tokenizer.json`, and its text pipeline without a prefix space."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from transformer_playground.errors import DataError

SPACE_MARK = "\u2581"
"""What SentencePiece and its heirs write for a space (Kudo & Richardson 2018)."""

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_ALL_BYTES = 256


def byte_characters() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte (Radford et al. 2019).

    A byte that prints in Latin-1 stands for itself; the others follow from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(_ALL_BYTES) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def token_table(spec: Mapping[str, Any], vocabulary: Mapping[str, int]) -> list[bytes]:
    """Bytes of each token id; an id that no token has stands for no bytes.

    Args:
        spec: The content of a `tokenizer.json`.
        vocabulary: Every token, added ones included, and its id.

    Raises:
        DataError: The tokens are joined in a way that leaves no exact bytes for each.
    """
    decoders = set(_types(spec.get("decoder")))
    if "ByteLevel" in decoders:
        spell = _byte_level(spec)
    elif decoders & {"Metaspace", "ByteFallback", "Replace"}:
        spell = _metaspace
    else:
        raise DataError(
            "The tokenizer joins its tokens in a way that is not supported "
            f"({', '.join(sorted(decoders)) or 'no decoder'}).",
            "Byte-level BPE and SentencePiece-like tokenizers are: those of Qwen, Llama, Gemma, "
            "Mistral or GPT-2.",
        )
    table = [b""] * (max(vocabulary.values()) + 1)
    for token, index in vocabulary.items():
        table[index] = spell(token)
    return table


def byte_tokens(spec: Mapping[str, Any], vocabulary: Mapping[str, int]) -> list[int] | None:
    """Give the id of each byte 0 … 255 alone; None if some text has no tokens."""
    if "ByteLevel" in _types(spec.get("decoder")):
        names = {byte: char for char, byte in byte_characters().items()}
    elif spec.get("model", {}).get("byte_fallback"):
        names = {byte: f"<0x{byte:02X}>" for byte in range(_ALL_BYTES)}
    else:
        return None
    if any(name not in vocabulary for name in names.values()):
        return None
    return [vocabulary[names[byte]] for byte in range(_ALL_BYTES)]


def without_prefix_space(part: Any) -> Any:
    """Give a normalizer or pre-tokenizer that puts no space before the text; None if none is left.

    That space would come back when the tokens are decoded, and stand in the middle of a text that
    is encoded in pieces.
    """
    match part:
        case {"type": "Prepend"}:
            return None
        case {"type": "Metaspace"}:
            kept = {key: value for key, value in part.items() if key != "add_prefix_space"}
            return kept | {"prepend_scheme": "never"}
        case {"type": "ByteLevel"}:
            return {**part, "add_prefix_space": False}
        case {"type": "Sequence"}:
            key = "normalizers" if "normalizers" in part else "pretokenizers"
            kept_parts = [kept for one in part[key] if (kept := without_prefix_space(one))]
            return {**part, key: kept_parts} if kept_parts else None
    return part


def _types(part: Any) -> Iterator[str]:
    match part:
        case {"type": "Sequence", "decoders": list(parts)}:
            for one in parts:
                yield from _types(one)
        case {"type": str(name)}:
            yield name


def _byte_level(spec: Mapping[str, Any]) -> Any:
    characters = byte_characters()
    added = {token["content"] for token in spec.get("added_tokens", [])}

    def spell(token: str) -> bytes:
        # Added tokens are plain text, and so is what has a character that stands for no byte.
        if token in added or not characters.keys() >= set(token):
            return token.encode()
        return bytes(characters[char] for char in token)

    return spell


def _metaspace(token: str) -> bytes:
    if byte := _BYTE.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace(SPACE_MARK, " ").encode()
