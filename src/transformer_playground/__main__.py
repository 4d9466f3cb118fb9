"""`python -m transformer_playground` is `tp`, for launchers such as torchrun."""

from transformer_playground.cli.main import run

if __name__ == "__main__":
    run()
