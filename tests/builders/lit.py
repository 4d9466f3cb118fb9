"""A tiny model for LIT to ask, and stand-ins for LIT's process."""

import sys
from pathlib import Path

from builders.models import lively_model
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.lit.predictions import AskedModel

LETTERS = CharTokenizer(["\n", " ", *"abcdefghijk"])

# Reads its order and says that it is ready, as LIT's process does.
_READY = """
import json, os, pathlib, sys, time, urllib.request
order = json.loads(sys.stdin.readline())
pathlib.Path({pid!r}).write_text(str(os.getpid()))
headers = {{"Authorization": "Bearer " + order["token"], "Content-Type": "application/json"}}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
opener.open(urllib.request.Request(order["url"] + "/ready", b"{{}}", headers)).close()
{then}
"""


def asked_model(name: str = "one") -> AskedModel:
    """A lively model of 13 characters with a context of 12."""
    return AskedModel(name, "a model", lively_model(vocab_size=13), LETTERS, ())


def stand_in(folder: Path, *, then: str = "sys.stdin.read()", program: str | None = None) -> Path:
    """An interpreter that runs a stand-in instead of LIT's page; it writes `folder/pid`.

    Args:
        folder: Where its files are.
        then: What it does once it is ready; it must end when its input does.
        program: Another whole program.
    """
    script = folder / "stand_in.py"
    script.write_text(program or _READY.format(pid=str(folder / "pid"), then=then))
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{script}"\n')
    python.chmod(0o755)
    return python
