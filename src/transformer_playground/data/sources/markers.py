"""Structure markers (`prepare.add_structure_tokens`): what they are and where they stand.

A speech of a plenary protocol, one marker at the start of its line::

    <|rede|>
    <|datum|>13.03.2025
    <|sprecher|>Dr. Erika Beispiel
    <|partei|>Beispielpartei
    First paragraph.
    <|zwischenruf|>(Beifall)
    Second paragraph.
    <|sprecher|>Präsident Max Muster
    A remark from the chair, without a party.
    <|ende|>

A plain text file has no speakers to mark: it stands between `<|rede|>` and `<|ende|>`. For a
SentencePiece model each marker is one token, for the other tokenizers ordinary text.
"""

SPEECH = "<|rede|>"
DATE = "<|datum|>"
SPEAKER = "<|sprecher|>"
PARTY = "<|partei|>"
INTERJECTION = "<|zwischenruf|>"
END = "<|ende|>"

MARKERS = (SPEECH, DATE, SPEAKER, PARTY, INTERJECTION, END)
