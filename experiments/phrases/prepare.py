"""Prepare the phrases experiment: write the corpus if there is none, then tokenize it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from transformer_playground.data.prepare import PrepareReport, prepare_dataset
from transformer_playground.experiments.registry import PrepareContext, register

_CORPUS = "phrases.txt"


@register("phrases")
def main(context: PrepareContext) -> PrepareReport:
    """Seed `raw/` with generated phrases unless it holds text, then run the standard preparer."""
    config = context.config.prepare
    if not _has_text(config.raw_dir):
        config.raw_dir.mkdir(parents=True, exist_ok=True)
        written = _generator().write_phrases(config.raw_dir / _CORPUS)
        context.report(f"raw/ held no text: generated {written:,} phrases as {_CORPUS}")
    return prepare_dataset(config, report=context.report, force=context.force)


def _has_text(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.txt"))


def _generator() -> ModuleType:
    # By path, so that a copy of this folder uses its own generator.
    path = Path(__file__).with_name("generate_phrases.py")
    name = f"{__name__}_generate_phrases"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their own module up while they are being made.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
