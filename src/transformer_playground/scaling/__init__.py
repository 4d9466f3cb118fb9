"""Scaling laws: a family of sizes, the law fitted to its losses, and what it predicts."""
