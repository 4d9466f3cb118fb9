"""`tp runs` and what can be done with runs."""

from transformer_playground.cli.runs.app import runs_app

__all__ = ["runs_app"]
