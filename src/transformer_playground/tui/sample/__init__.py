"""Sampling in the console."""
