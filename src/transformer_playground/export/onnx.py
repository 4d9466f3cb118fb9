"""The target `onnx`: a graph from tokens to logits, checked by onnxruntime."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer_playground.errors import ExportError
from transformer_playground.export.exportable import Exportable, Subject
from transformer_playground.export.hf.tokenizer import write_tokenizer
from transformer_playground.export.plain import LogitsReader, refuse_finetuned
from transformer_playground.export.proof import Proof
from transformer_playground.export.request import ExportRequest
from transformer_playground.export.target import Written

MODEL_FILE = "model.onnx"
_INPUT, _OUTPUT = "input_ids", "logits"
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_TOLERANCE = 1e-5


class OnnxTarget:
    """All settings of our transformer; contexts of any length up to the block size."""

    def check(self, subject: Subject, request: ExportRequest) -> None:
        """See `Target.check`."""
        refuse_finetuned(subject, "onnx")
        needed = _PACKAGES if request.verify else _PACKAGES[:2]
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            raise ExportError(
                f"--to onnx needs packages that are not installed: {', '.join(missing)}.",
                "Install them: pip install 'transformer-playground[export]'.",
            )

    def write(self, source: Exportable, folder: Path, request: ExportRequest) -> None:
        """See `Target.write`."""
        subject = source.subject
        # The whole context, so that a window limits it; one token or row would be a special case.
        example = torch.zeros(2, subject.block_size, dtype=torch.int64)
        free = torch.export.Dim.AUTO
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                source.gpt,
                (example,),
                dynamo=True,
                input_names=[_INPUT],
                output_names=[_OUTPUT],
                dynamic_shapes={"tokens": {0: free, 1: free}},
                verbose=False,
            )
            program.save(str(folder / MODEL_FILE))
        write_tokenizer(subject.tokenizer, folder, context=subject.block_size)

    def verify(self, written: Written) -> Proof:
        """See `Target.verify`."""
        reader = open_graph(written.folder, written.source.subject.padding.start)
        return written.prove(reader, tolerance=_TOLERANCE)

    def usage(self, subject: Subject, request: ExportRequest, folder: Path) -> str:
        """See `Target.usage`."""
        return "\n".join(
            [
                "```python",
                "import numpy, onnxruntime",
                "from tokenizers import Tokenizer",
                "",
                'tokenizer = Tokenizer.from_file("tokenizer.json")',
                f'session = onnxruntime.InferenceSession("{MODEL_FILE}")',
                'tokens = numpy.array([tokenizer.encode("The").ids])',
                f'(logits,) = session.run(None, {{"{_INPUT}": tokens}})',
                "```",
                "",
                f"At most {subject.block_size:,} tokens; there is no key-value cache.",
            ]
        )


def open_graph(folder: Path, vocab_size: int) -> LogitsReader:
    """The graph, run by onnxruntime on the CPU.

    Args:
        folder: The folder.
        vocab_size: Number of token ids that are not padding.
    """
    import onnxruntime  # pyright: ignore[reportMissingImports] - an optional package

    session: Any = onnxruntime.InferenceSession(
        str(folder / MODEL_FILE), providers=["CPUExecutionProvider"]
    )

    def logits(tokens: Tensor) -> Tensor:
        (found,) = session.run(None, {_INPUT: tokens.numpy()})
        return torch.from_numpy(found)

    return LogitsReader(f"onnxruntime {onnxruntime.__version__}", logits, folder, vocab_size)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes about packages that it does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
