"""Control characters of untrusted text, replaced by visible symbols.

Generated text, file names, config values and error messages can contain escape sequences.
Terminals execute them (clipboard writes, title changes, queries answered on standard input), and
Rich and Textual only strip five codes.
"""

# Bidirectional controls reorder displayed text (CVE-2021-42574, "Trojan Source").
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_KEPT = "\n\t"


def _symbols() -> dict[int, str]:
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _KEPT}
    table[0x7F] = "\u2421"
    table |= {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    table |= {ord(char): f"\\u{ord(char):04x}" for char in _BIDI}
    # Line and paragraph separators break one-line output; lone surrogates cannot be encoded.
    table |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029)}
    return table


_TABLE = _symbols()


def visible(text: str) -> str:
    """Replace control characters except newline and tab by visible symbols.

    Covers C0, DEL, C1, bidirectional controls and lone surrogates, character by character, so that
    the text can be a chunk of a stream.
    """
    shown = text.translate(_TABLE)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")


def visible_line(text: str) -> str:
    """`visible` that also replaces newlines and tabs, for names, titles and table cells."""
    return visible(text).replace("\n", "\u240a").replace("\t", "\u2409")
