"""What an export is compared with its run on: windows of tokens, prompts and texts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from transformer_playground.data.dataset import Dataset
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.errors import DataError
from transformer_playground.experiments.dataset_lookup import find_dataset
from transformer_playground.export.exportable import Subject
from transformer_playground.export.request import ExportRequest
from transformer_playground.files import spread_indices
from transformer_playground.runs.folder import read_run_config

Logits = Callable[[Tensor], Tensor]

_MAX_LENGTH = 512
_MAX_WINDOWS = 16
_MAX_POSITIONS = 2048
# Logits of one window take at most 128 MiB.
_MAX_LOGITS = 1 << 25
_PROMPTS = 3
_PROMPT_TOKENS = 8
_CONTINUED = 32
_TEXT_TOKENS = 512

ODD_TEXT = (
    "  two  spaces\t\ttabs\n\n\nlines \r\n old\rmac \x0b\x0c\x1c\x85 trailing   \n"
    "it's WE'LL don’t 1234567 3.14 a1b2 ... !!! ?¿ «quoted» “so” – — … €5 §1 №2 x² ½\n"
    "ÄÖÜäöüß ﬁ Å A\u030a e\u0301 İı ſ ẞ Ω Ω Привет العربية עברית 日本語 한국어 हिन्दी ไทย\n"
    "\u200b\u200d\u200e\u202e\u2060\ufeff\u00ad\u00a0\u2003\u3000\u2028\u2029 "
    "\x00\x01\x7f\x9f \ufffd\ufffe "
    "😀 👩‍👩‍👧‍👦 🇩🇪 𝔘𝔫𝔦 \U0010ffff\n"
    "<s> </s> <unk> <pad> [INST] <|im_start|> <0x0A> {{x}} \\n % $ # @ & * ~ ` ^ | / \\"
)
"""Text with white space, controls, marks and scripts that tokenizers treat specially."""


@dataclass(frozen=True)
class Evidence:
    """Windows, prompts and texts to compare on.

    Attributes:
        windows: Tokens, int64 (n, T + 1); T is at most the context of the model.
        origin: Whether the windows are validation text, or random tokens without the dataset.
        prompts: Beginnings of windows, to continue greedily.
        continued: Number of tokens to continue each prompt by.
        texts: Texts for the tokenizer, which it can encode.
        notice: Why there is no validation text; empty otherwise.
    """

    windows: Tensor
    origin: Literal["validation text", "random tokens"]
    prompts: tuple[tuple[int, ...], ...]
    continued: int
    texts: tuple[str, ...]
    notice: str = ""

    def bits_per_byte(self, logits: Logits, tokenizer: Tokenizer) -> float | None:
        """Loss on the windows in bits per UTF-8 byte; None for random tokens."""
        if self.origin != "validation text":
            return None
        nats, size = 0.0, 0
        for window in self.windows:
            targets = window[1:]
            scores = logits(window[None, :-1])[0]
            nats += functional.cross_entropy(scores, targets, reduction="sum").item()
            size += sum(len(tokenizer.token_bytes(token)) for token in targets.tolist())
        return nats / math.log(2) / max(size, 1)


def collect_evidence(subject: Subject, request: ExportRequest) -> Evidence:
    """Evidence from the run's validation split, or random tokens if the dataset is not found.

    Raises:
        DataError: The dataset that the request names is not the run's.
    """
    record = read_run_config(subject.run) if subject.run.config_path.is_file() else {}
    lookup = find_dataset(record, stated=request.dataset, experiments_dir=request.experiments_dir)
    length = min(subject.block_size, _MAX_LENGTH, max(8, _MAX_LOGITS // subject.vocab_size))
    windows, notice = None, lookup.problem
    if lookup.dataset is not None:
        windows = _validation_windows(lookup.dataset, length, _known(subject))
        notice = "" if windows is not None else "The validation text is shorter than two tokens."
    found = windows is not None
    if windows is None:
        generator = torch.Generator().manual_seed(0)
        shape = _window_count(length), length + 1
        windows = torch.randint(_known(subject), shape, generator=generator)
    prompt = max(1, min(_PROMPT_TOKENS, length // 2))
    return Evidence(
        windows=windows,
        origin="validation text" if found else "random tokens",
        prompts=tuple(tuple(row) for row in windows[:_PROMPTS, :prompt].tolist()),
        continued=max(1, min(_CONTINUED, subject.block_size - prompt)),
        texts=_texts(subject.tokenizer, windows),
        notice="" if found else f"{notice} {lookup.hint}".strip(),
    )


def _known(subject: Subject) -> int:
    """Number of token ids that are not padding."""
    return subject.padding.start


def _window_count(length: int) -> int:
    return max(2, min(_MAX_WINDOWS, _MAX_POSITIONS // length))


def _validation_windows(dataset: Dataset, length: int, vocab_size: int) -> Tensor | None:
    tokens = dataset.val
    length = min(length, len(tokens) - 1)
    if length < 1:
        return None
    starts: Sequence[int] = range(len(tokens) - length)
    if dataset.end_token is not None:
        # Documents are attended to separately, so a window begins with one.
        ends = (tokens[: len(tokens) - length] == dataset.end_token).nonzero()[0]
        starts = [0, *(int(end) + 1 for end in ends if end + 1 + length < len(tokens))]
    count = _window_count(length)
    chosen = [starts[index] for index in spread_indices(len(starts), count)]
    rows = [tokens[start : start + length + 1].astype("int64") for start in chosen]
    windows = torch.stack([torch.from_numpy(row) for row in rows])
    if windows.max() >= vocab_size:
        raise DataError("The validation text has token ids beyond the tokenizer's vocabulary.")
    return windows


def _texts(tokenizer: Tokenizer, windows: Tensor) -> tuple[str, ...]:
    excerpt = tokenizer.decode(windows.flatten()[:_TEXT_TOKENS].tolist())
    if isinstance(tokenizer, CharTokenizer):
        alphabet = "".join(tokenizer.characters)
        doubled = "".join(char * 2 for char in alphabet)
        return excerpt, alphabet[::-1] + doubled
    # Replacement characters of tokens cut in two are a text like any other.
    return tuple("".join(filter(_encodable(tokenizer), text)) for text in (excerpt, ODD_TEXT))


def _encodable(tokenizer: Tokenizer) -> Callable[[str], bool]:
    """Whether a tokenizer knows a character: that of a base model may have a closed alphabet."""

    def knows(char: str) -> bool:
        try:
            tokenizer.encode(char)
        except DataError:
            return False
        return True

    return knows
