"""Settings for the whole suite."""

import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

# Tests run side by side; more threads than cores would only get in each other's way. Read by torch
# when it is first imported, and inherited by child processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A job that a plain shell runs in the background ignores Ctrl-C, and so would each command under
# test: programs hand down what they ignore.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Read when the library is first imported, too: no test asks the hub for a model.
os.environ["HF_HUB_OFFLINE"] = "1"
for variable in ("ML_PLAYGROUND_TRAIN_OVERRIDES", "ML_PLAYGROUND_SAMPLE_OVERRIDES", "NO_COLOR"):
    os.environ.pop(variable, None)
# How long an example takes depends on what else the machine does.
if hypothesis.settings.get_current_profile_name() == "default":
    hypothesis.settings.register_profile("any speed", deadline=None)
    hypothesis.settings.load_profile("any speed")


@pytest.fixture(autouse=True, scope="session")
def no_fsync() -> Iterator[None]:
    """Files of tests need not survive a power failure; `builders.disks` simulates one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
