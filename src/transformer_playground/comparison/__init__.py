"""Comparison of runs: settings, metrics and samples."""
