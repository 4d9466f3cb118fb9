"""The HTML file: escaped text, and a script and a style that it carries itself."""

import base64
import hashlib
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformer_playground.comparison.cells import value_text
from transformer_playground.comparison.compare import setting_of
from transformer_playground.comparison.leaderboard import SIGNS
from transformer_playground.files import replace_text
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.naming import setting_headers
from transformer_playground.sharing.document import Shared, collect, created_text
from transformer_playground.terminal import visible_line

_HERE = Path(__file__).parent
# In a script element these would end it, or start a comment.
_IN_SCRIPT = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def write_page(path: Path, runs: list[RunFolder], title: str | None = None) -> None:
    """Write runs as one HTML file.

    Args:
        path: The file; an existing one is replaced.
        runs: The runs; the first is the baseline.
        title: Title; None = the names of the runs.

    Raises:
        RunError: The `config.json` of a run is missing or damaged.
        OSError: While writing; an existing file is unchanged.
    """
    replace_text(path, page(collect(runs, title)))


def page(shared: Shared) -> str:
    """The whole document."""
    script, style = _asset("page.js"), _asset("page.css")
    # Nothing but this script and this style is loaded or run.
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(shared.charts, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    body = "\n".join(_body(shared))
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(shared.title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n{body}\n"
        f'<script type="application/json" id="data">{data.translate(_IN_SCRIPT)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _body(shared: Shared) -> Iterator[str]:
    yield f"<h1>{_text(shared.title)}</h1>"
    if shared.verdict:
        yield f'<p class="verdict">{_text(shared.verdict)}</p>'
    yield from _board(shared)
    yield '<h2>Curves</h2>\n<div id="controls"></div>\n<div id="charts"></div>'
    yield "<noscript><p>The curves need JavaScript; everything else does not.</p></noscript>"
    yield from _settings(shared)
    yield from _texts(shared)
    if shared.comparison is not None and shared.comparison.notes:
        yield "<h2>Notes</h2>\n<ul>"
        yield from (f"<li>{_text(note)}</li>" for note in shared.comparison.notes)
        yield "</ul>"
    yield f"<footer>Made {_text(created_text())} by Transformer Playground.</footer>"


def _board(shared: Shared) -> Iterator[str]:
    board = shared.board
    if board is None:
        return
    heads = "".join(f"<th>{_text(head.label)}</th>" for head in board.heads)
    yield f"<h2>Runs</h2>\n<div class='wide'><table>\n<tr><th>run</th>{heads}</tr>"
    for entry in board.entries:
        cells = []
        for cell in entry.cells:
            delta = f"{cell.delta} {SIGNS[cell.sign] if cell.sign else ''}".strip()
            shown = f' <span class="{cell.sign or "plain"}">{_text(delta)}</span>' if delta else ""
            best = " class='best'" if cell.is_best else ""
            cells.append(f"<td{best}>{_text(cell.text)}{shown}</td>")
        yield f"<tr><th>{_text(entry.name)}</th>{''.join(cells)}</tr>"
    yield "</table></div>"


def _settings(shared: Shared) -> Iterator[str]:
    """Settings that differ, or all of a single run; the others folded."""
    keys = list(dict.fromkeys(key for run in shared.runs for key in run.settings))
    differing = list(shared.comparison.settings) if shared.comparison else []
    if differing:
        yield "<h2>Settings that differ</h2>"
        yield from _setting_table(shared, differing)
    yield f"<details><summary>All {len(keys)} settings</summary>"
    yield from _setting_table(shared, keys)
    yield "</details>"


def _setting_table(shared: Shared, keys: list[str]) -> Iterator[str]:
    headers = setting_headers(keys)
    names = "".join(f"<th>{_text(shared.names[run.run_id])}</th>" for run in shared.runs)
    yield f"<div class='wide'><table>\n<tr><th>setting</th>{names}</tr>"
    for key in keys:
        values: list[Any] = [setting_of(run, key) for run in shared.runs]
        cells = "".join(f"<td>{_text(value_text(value, shorten=True))}</td>" for value in values)
        yield f'<tr><th title="{_text(key)}">{_text(headers[key])}</th>{cells}</tr>'
    yield "</table></div>"


def _texts(shared: Shared) -> Iterator[str]:
    if shared.samples:
        yield '<h2>Samples</h2>\n<div class="columns">'
        for run_id, (step, texts) in shared.samples.items():
            title = f"{shared.names[run_id]}, step {step:,}"
            blocks = "".join(f"<pre>{_text(text, lines=True)}</pre>" for text in texts)
            yield f"<section><h3>{_text(title)}</h3>{blocks}</section>"
        yield "</div>"
    if shared.reports:
        yield "<h2>Reports</h2>"
        for run_id, verdicts in shared.reports.items():
            lines = "".join(f"<li>{_text(verdict)}</li>" for verdict in verdicts)
            yield f"<h3>{_text(shared.names[run_id])}</h3><ul>{lines}</ul>"


def _text(text: str, *, lines: bool = False) -> str:
    """Untrusted text for an element or an attribute; on one line unless `lines`."""
    return html.escape(text if lines else visible_line(text))


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
