"""The one gate between untrusted text and a terminal.

A character-level model will print escape sequences sooner or later, and file names, config values
and exception texts may hold them too. Terminals obey them (clipboard writes, title changes, queries
that answer on standard input), and neither Rich nor Textual strips more than five codes.
"""

# Bidirectional controls reorder what a reader sees (CVE-2021-42574, "Trojan Source").
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
    """Replace every control character but newline and tab by a visible symbol.

    Covers C0, DEL, C1, bidirectional controls and lone surrogates. Works character by character,
    so a sequence split over two chunks of a stream is defused like a whole one.
    """
    shown = text.translate(_TABLE)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")


def visible_line(text: str) -> str:
    """`visible`, with newlines and tabs shown as symbols too: for names, titles and table cells."""
    return visible(text).replace("\n", "\u240a").replace("\t", "\u2409")
