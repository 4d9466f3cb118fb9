"""`python -m transformer_playground.tui`: the same as `tp-tui`."""

from transformer_playground.tui.main import run

run()
