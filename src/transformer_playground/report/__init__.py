"""Evaluation reports of one run."""
