"""Faults that strace injects into system calls."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from tests.chaos.chaos import Missing


def strace(*words: str) -> list[str]:
    """The command that injects them. Raises Missing."""
    if shutil.which("strace") is None:
        raise Missing("strace injects faults (Debian: apt-get install strace)")
    return ["strace", "-f", "-qq", "-o", "/dev/null", *words]


@contextlib.contextmanager
def failing_syncs(*pids: int) -> Iterator[None]:
    """Every fsync of these processes fails as long as the block lasts."""
    words = [word for pid in pids for word in ("-p", str(pid))]
    inject = strace(*words, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO")
    with subprocess.Popen(inject, stderr=subprocess.DEVNULL) as faults:
        try:
            yield
        finally:
            # Asked to end while it waits for a process that sleeps, strace may never do so.
            faults.kill()
