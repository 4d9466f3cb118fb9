"""Tiny corpora on disk: texts, rows, plenary protocols, prepared datasets."""

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow
from backports import zstd
from pyarrow import parquet

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.prepare import PrepareReport, prepare_dataset
from transformer_playground.data.sources.pieces import Boundary, Piece, Rows

STORY = (
    "The miller's cat sat by the wheel and watched the water go round.\n"
    "Every evening the wheel turned slower, and every evening the cat grew rounder.\n\n"
    "“One of us,” said the cat, “will have to stop.”\n"
    "The wheel said nothing; it creaked, dripped twice, and went on turning.\n\n"
)

SPEECH = """\
<rede id="ID1">
  <p klasse="redner"><a id="r1"/><redner id="11"><name><titel>Dr.</titel><vorname>Erika</vorname>\
<nachname>Beispiel</nachname><fraktion>Blaue Liste</fraktion></name></redner>\
Dr. Erika Beispiel (Blaue Liste):</p>
  <p klasse="J_1">Herr Präsident! Wir reden heute
     über Brücken.</p>
  <kommentar>(Beifall bei der Blauen Liste)</kommentar>
  <p klasse="J">Siehe Drucksache <a href="https://example.invalid/1">20/1</a>.</p>
  <name>Präsident Max Muster:</name>
  <p klasse="J_1">Gestatten Sie eine Zwischenfrage?</p>
  <p klasse="redner"><redner id="12"><name><vorname>Otto</vorname><nachname>Probe</nachname>\
<rolle><rolle_lang>Minister für Wege</rolle_lang><rolle_kurz>Min</rolle_kurz></rolle></name>\
</redner>Otto Probe, Minister für Wege:</p>
  <p klasse="J_1">Wann wird gebaut?</p>
</rede>
"""

SHORT_SPEECH = """\
<rede id="ID2">
  <p klasse="redner"><redner id="13"><name><vorname>Ina</vorname><nachname>Test</nachname>\
<ortszusatz>(Aue)</ortszusatz><fraktion>fraktionslos</fraktion></name></redner>Ina Test:</p>
  <p klasse="J_1">Danke.</p>
</rede>
"""

DOCTYPE = '<!DOCTYPE dbtplenarprotokoll SYSTEM "dbtplenarprotokoll.dtd">'


def protocol(*speeches: str, doctype: str = DOCTYPE) -> str:
    """A plenary protocol of one sitting in the open-data format."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{doctype}\n'
        '<dbtplenarprotokoll wahlperiode="20" sitzung-datum="13.03.2025">\n'
        "<vorspann><kopfdaten>Inhalt</kopfdaten></vorspann>\n<sitzungsverlauf>\n"
        "<sitzungsbeginn><name>Präsident Max Muster:</name>"
        '<p klasse="J">Die Sitzung ist eröffnet.</p></sitzungsbeginn>\n'
        f'<tagesordnungspunkt top-id="1">\n{"".join(speeches)}</tagesordnungspunkt>\n'
        "</sitzungsverlauf>\n</dbtplenarprotokoll>\n"
    )


def write_raw(folder: Path, text: str, name: str = "input.txt") -> Path:
    """Write one raw input of the corpus in `folder`."""
    path = folder / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
    return path


def prepare_config(folder: Path, **settings: Any) -> PrepareConfig:
    """`[prepare]` with `raw` and `datasets` below `folder`."""
    return PrepareConfig(raw_dir=folder / "raw", dataset_dir=folder / "datasets", **settings)


def prepare(config: PrepareConfig, *, force: bool = False) -> PrepareReport:
    """Prepare without showing the progress lines."""
    return prepare_dataset(config, report=lambda _: None, force=force)


def prepared(folder: Path, text: str = STORY * 5, **settings: Any) -> PrepareConfig:
    """A corpus of one text, prepared."""
    write_raw(folder, text)
    config = prepare_config(folder, **settings)
    prepare(config)
    return config


def files_of(folder: Path) -> dict[str, bytes]:
    """Visible files of a folder and their bytes."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }


def write_rows(folder: Path, rows: Iterable[Any], name: str = "rows.jsonl") -> Path:
    """Write rows as one raw input: lines of JSON, compressed by the suffix, or a Parquet table."""
    rows = list(rows)
    path = folder / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        keys = list(dict.fromkeys(key for row in rows for key in row))
        table = pyarrow.table({key: [row.get(key) for row in rows] for key in keys})
        parquet.write_table(table, path, row_group_size=4)
        return path
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    compressors: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd.compress}
    path.write_bytes(compressors.get(path.suffix, bytes)(lines))
    return path


def joined(pieces: Iterable[Piece]) -> str:
    """Text of a stream with its rows, its marks shown as ⟨ and ⟩."""
    shown = {Boundary.START: "⟨", Boundary.END: "⟩"}
    parts = []
    for piece in pieces:
        if isinstance(piece, Rows):
            parts.append(joined(piece.pieces()))
        else:
            parts.append(shown[piece] if isinstance(piece, Boundary) else piece)
    return "".join(parts)
