"""Prepare the phrases experiment: write the corpus if there is none, then tokenize it."""

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from transformer_playground.data.corpora import find_inputs
from transformer_playground.data.prepare import PrepareReport, prepare_dataset
from transformer_playground.experiments.registry import PrepareContext, register

_CORPUS = "phrases.txt"


@register("phrases")
def main(context: PrepareContext) -> PrepareReport:
    """Write phrases into `raw_dir` unless it holds text, then run the standard preparer."""
    config = context.config.prepare
    notes: tuple[str, ...] = ()
    if not find_inputs(config.raw_dir):
        notes = (_seed(config.raw_dir),)
        context.report(notes[0])
    report = prepare_dataset(config, report=context.report, force=context.force)
    return dataclasses.replace(report, notes=(*notes, *report.notes))


def _seed(raw_dir: Path) -> str:
    raw_dir.mkdir(parents=True, exist_ok=True)
    count = _generator().write_phrases(raw_dir / _CORPUS)
    return f"{raw_dir} had no text, so {count:,} phrases were generated there as {_CORPUS}."


def _generator() -> ModuleType:
    # By path, so that a copy of this folder uses its own generator.
    path = Path(__file__).with_name("generate_phrases.py")
    name = f"{__name__}_generate_phrases"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks up its own module while it is being made.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
