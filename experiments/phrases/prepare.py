"""Ready the phrases experiment: write the corpus if there is none."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from transformer_playground.data.sources.corpora import check_unread, find_inputs
from transformer_playground.experiments.registry import PrepareContext, register

_CORPUS = "phrases.txt"


@register("phrases")
def main(context: PrepareContext) -> None:
    """Write phrases into `raw_dir` unless it holds text; the standard preparer does the rest.

    Phrases of an earlier run make room for texts of the user, unless they were edited.
    """
    raw_dir = context.config.prepare.raw_dir
    corpus = raw_dir / _CORPUS
    inputs = [item.path for item in find_inputs(raw_dir)]
    if not inputs:
        check_unread(raw_dir)
        raw_dir.mkdir(parents=True, exist_ok=True)
        count = _generator().write_phrases(corpus)
        context.report(f"{raw_dir} had no text: {count:,} phrases were written to {_CORPUS} there.")
    elif corpus in inputs and len(inputs) > 1 and _generator().is_generated(corpus):
        corpus.unlink()
        context.report(f"{corpus}: removed, since {raw_dir} has texts of yours.")


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
