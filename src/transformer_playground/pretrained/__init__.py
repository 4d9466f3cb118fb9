"""Pretrained language models: loaded, adapted with low-rank matrices, saved and merged."""
