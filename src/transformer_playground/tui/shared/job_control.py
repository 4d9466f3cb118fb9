"""Job control: whether a shell can continue this process after it has stopped."""

import os


def has_job_control() -> bool:
    """Whether the parent is a shell of this session that puts its jobs into groups of their own."""
    try:
        parent = os.getppid()
        is_own_group = os.getpgid(parent) != os.getpgrp()
        return is_own_group and os.getsid(parent) == os.getsid(0)
    except OSError:
        return False
