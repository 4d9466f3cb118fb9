"""One family of errors: what is wrong, and how to mend it.

Raise where the cause is known; each interface renders them in one place. Anything else
that escapes is a bug and deserves its traceback.
"""


class PlaygroundError(Exception):
    """A fault the user can understand and mend.

    Args:
        message: One sentence: what is wrong and where.
        hint: How to mend it; empty if the message already says so.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(PlaygroundError):
    """The command itself is wrong: an unknown name, a bad id, flags that exclude each other."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration is not valid: unknown key, wrong type, impossible combination."""


class DataError(PlaygroundError):
    """A corpus, tokenizer or prepared dataset is missing, unusable or damaged."""


class CheckpointError(PlaygroundError):
    """A checkpoint is missing, damaged, foreign or cannot be written."""


class RunError(PlaygroundError):
    """A run folder is missing, damaged or in use by another process."""


class TrainingError(PlaygroundError):
    """Training cannot go on: a non-finite loss, no memory, unwritable metrics."""


class SamplingError(PlaygroundError):
    """Text cannot be generated: a prompt the tokenizer cannot encode, no model to sample from."""


class ModelError(PlaygroundError):
    """A pretrained model or an adapter is missing, unreadable, or does not fit its use."""
