"""From text to token windows: corpora, tokenizers, prepared datasets, batches. Free of torch."""
