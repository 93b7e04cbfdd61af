"""Faults that strace injects into system calls."""

import shutil

from tests.chaos.chaos import Missing


def strace(*words: str) -> list[str]:
    """The command that injects them. Raises Missing."""
    if shutil.which("strace") is None:
        raise Missing("strace injects faults (Debian: apt-get install strace)")
    return ["strace", "-f", "-qq", "-o", "/dev/null", *words]
