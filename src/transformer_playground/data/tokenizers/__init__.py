"""Character, GPT-2, SentencePiece and Hugging Face tokenizers behind one protocol."""

from transformer_playground.data.tokenizers.base import StreamDecoder, Tokenizer
from transformer_playground.data.tokenizers.loading import load_tokenizer

__all__ = ["StreamDecoder", "Tokenizer", "load_tokenizer"]
