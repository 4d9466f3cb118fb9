"""Checkpoints: saved atomically, found and checked without torch, loaded safely."""
