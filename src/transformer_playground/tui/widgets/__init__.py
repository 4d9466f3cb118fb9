"""Pieces of screens, one a file."""
