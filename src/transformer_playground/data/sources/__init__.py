"""Text sources: corpora, document splits and file formats."""
