"""The Hugging Face folder: our settings as classes of transformers."""
