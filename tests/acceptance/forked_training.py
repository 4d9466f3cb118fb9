"""A process that imports torch once and trains each run in a forked child; run as a script.

Each line of standard input holds the words of a `tp` command as JSON. The answers are the child's
process id and, after its end, its wait status. A child that has done its work waits to be killed.
"""

import json
import os
import signal
import sys

# All that the children need is there already; torch imports the first when an optimizer is made.
import torch._dynamo  # noqa: F401

import transformer_playground.training.run  # noqa: F401
from transformer_playground.cli.main import main


def train_and_wait(words: list[str]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    code = main(words)
    if code != 0:
        os._exit(code)
    while True:
        signal.pause()


def serve() -> None:
    # A killed process leaves to the system what it has written: waiting for the disk is in vain.
    vars(os)["fsync"] = lambda _: None
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            train_and_wait(json.loads(line))
        answer(child)
        answer(os.waitpid(child, 0)[1])


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
