"""The tokenizer that a folder holds."""

from pathlib import Path

from transformer_playground.data.meta import META_FILE, read_meta
from transformer_playground.data.tokenizers.base import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.data.tokenizers.huggingface import HuggingFaceTokenizer
from transformer_playground.data.tokenizers.sentencepiece import SentencePieceTokenizer
from transformer_playground.errors import DataError


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer of a dataset folder, a run's `tokenizer/` folder or nanoGPT data.

    Raises:
        DataError: The folder has no usable tokenizer.
    """
    path = folder / META_FILE
    meta = read_meta(path)
    # nanoGPT's own files have the character tables and no kind.
    kind = meta.get("kind", "char" if "stoi" in meta else None)
    if kind == "char":
        return CharTokenizer.from_meta(meta)
    if kind == "gpt2":
        return Gpt2Tokenizer.from_meta(meta)
    if kind == "sentencepiece":
        return SentencePieceTokenizer.load(folder, meta)
    if kind == "huggingface":
        return HuggingFaceTokenizer.load(folder, meta)
    raise DataError(
        f"{path} names the tokenizer {kind!r}; known are char, gpt2, sentencepiece and "
        "huggingface.",
        "Prepare the dataset again.",
    )
