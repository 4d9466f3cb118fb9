"""Bytes of each token of a `tokenizer.json`, and normalizers without a prefix space."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from transformer_playground.errors import DataError

SPACE_MARK = "\u2581"
"""Space in SentencePiece tokens (Kudo & Richardson 2018)."""

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_ALL_BYTES = 256


def byte_characters() -> dict[str, int]:
    """The characters of byte-level BPE and their bytes (Radford et al. 2019).

    Printable Latin-1 bytes map to themselves, the others to U+0100 and following.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(_ALL_BYTES) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def token_table(spec: Mapping[str, Any], vocabulary: Mapping[str, int]) -> list[bytes]:
    """Bytes of each token id; empty for unused ids.

    Args:
        spec: The content of a `tokenizer.json`.
        vocabulary: Ids of all tokens, including added ones.

    Raises:
        DataError: The decoder does not map each token to exact bytes.
    """
    decoders = set(_types(spec.get("decoder")))
    if "ByteLevel" in decoders:
        spell = _byte_level(spec)
    elif decoders & {"Metaspace", "ByteFallback", "Replace"}:
        spell = _metaspace
    elif decoders == {"Fuse"}:
        # Tokens are the text itself, as those of characters.
        spell = str.encode
    else:
        raise DataError(
            "The decoder of the tokenizer is not supported "
            f"({', '.join(sorted(decoders)) or 'no decoder'}).",
            "Byte-level BPE and SentencePiece tokenizers are supported, such as those of Qwen, "
            "Llama, Gemma, Mistral or GPT-2.",
        )
    table = [b""] * (max(vocabulary.values()) + 1)
    for token, index in vocabulary.items():
        table[index] = spell(token)
    return table


def byte_tokens(spec: Mapping[str, Any], vocabulary: Mapping[str, int]) -> list[int] | None:
    """Token id of each byte 0 … 255; None if the tokenizer lacks byte tokens."""
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
    """A normalizer or pre-tokenizer without a space before the text; None if it is empty.

    The space would be decoded again, and appear inside a text that is encoded in pieces.
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
        # Added tokens, and tokens with other characters, are plain text.
        if token in added or not characters.keys() >= set(token):
            return token.encode()
        return bytes(characters[char] for char in token)

    return spell


def _metaspace(token: str) -> bytes:
    if byte := _BYTE.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace(SPACE_MARK, " ").encode()
