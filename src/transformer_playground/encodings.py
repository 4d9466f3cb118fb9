"""Strict UTF-8, and recognition of common other encodings for error messages."""

import codecs

from transformer_playground.errors import ConfigError

_MARKS = (
    # UTF-16's mark begins like UTF-32's.
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_SAMPLE_BYTES = 1 << 12
_MIN_BYTES = 8
_MIN_VALID_BYTES = 32
# Texts contain no other control characters than these.
_CONTROLS = bytes({*range(0x20)} - set(b"\t\n\v\f\r\x1b"))
_ASCII = bytes(range(0x80))
_MOST = 0.9


def decode_config(data: bytes, name: str) -> str:
    """Text of a configuration file.

    Raises:
        ConfigError: It is not UTF-8; the hint names the encoding that it looks like.
    """
    # UTF-16 of ASCII characters is valid UTF-8 with control characters.
    if wide_encoding(data):
        raise ConfigError(f"{name} is not UTF-8.", conversion_hint(data))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{name}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8.",
            conversion_hint(data),
        ) from error


def wide_encoding(start: bytes) -> str:
    """UTF-16 or UTF-32 by the start of a text, with or without byte order mark; else empty."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    # Valid UTF-8 may hold some control characters, but not at nearly every second place.
    if _is_utf8(start):
        return _by_places(start, _CONTROLS, share=0.9) if len(start) >= _MIN_VALID_BYTES else ""
    return _by_places(start, _CONTROLS, share=0.5)


def _is_utf8(start: bytes) -> bool:
    try:
        # The last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return True


def conversion_hint(data: bytes) -> str:
    """How to convert text with invalid UTF-8; `data` is from a multiple of four bytes on."""
    encoding = wide_encoding(data) or _by_places(data, b"\0", share=0.02)
    if encoding := encoding or _single_byte_encoding(data):
        return (
            f"It looks like {encoding}. Convert it with "
            f"`iconv -f {encoding.upper()} -t UTF-8 OLD > NEW` and check the result."
        )
    if _is_mostly_utf8(data):
        return (
            "It looks like damaged UTF-8. Restore it, or leave out the invalid bytes with "
            "`iconv -c -f UTF-8 -t UTF-8 OLD > NEW`."
        )
    return "Convert it from its encoding with `iconv -f ENCODING -t UTF-8 OLD > NEW`."


def _by_places(data: bytes, unusual: bytes, *, share: float) -> str:
    """UTF-16 or UTF-32 by the places of bytes that are unusual in text.

    Args:
        data: Bytes from a multiple of four on.
        unusual: Bytes that only occur as the high bytes of wide characters.
        share: Least fraction of high bytes that are unusual in UTF-16.
    """
    sample = data[:_SAMPLE_BYTES]
    if len(sample) < _MIN_BYTES:
        return ""
    nul = [_share(sample[place::4], b"\0") for place in range(4)]
    if min(nul[2:]) > _MOST > nul[0]:
        return "UTF-32LE"
    if min(nul[:2]) > _MOST > nul[3]:
        return "UTF-32BE"
    even, odd = _share(sample[::2], unusual), _share(sample[1::2], unusual)
    if odd >= share and odd > 4 * even:
        return "UTF-16LE"
    if even >= share and even > 4 * odd:
        return "UTF-16BE"
    return ""


def _share(data: bytes, wanted: bytes) -> float:
    return 1 - len(data.translate(None, wanted)) / len(data)


def _single_byte_encoding(data: bytes) -> str:
    """Windows-1252, which contains Latin-1, if most bytes are ASCII; else empty."""
    high = data.translate(None, _ASCII)
    if 2 * len(high) > len(data) or _is_mostly_utf8(data):
        return ""
    try:
        high.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return "Windows-1252"


def _is_mostly_utf8(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    replaced = text.count("\N{REPLACEMENT CHARACTER}")
    return sum(char > "\x7f" for char in text) >= 2 * replaced
