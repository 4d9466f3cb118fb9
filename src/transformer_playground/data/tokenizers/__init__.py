"""Character, GPT-2, SentencePiece and Hugging Face tokenizers behind one registry."""

from transformer_playground.data.tokenizers.base import (
    StreamDecoder,
    Tokenizer,
    load_tokenizer,
    tokenizers,
)

__all__ = ["StreamDecoder", "Tokenizer", "load_tokenizer", "tokenizers"]
