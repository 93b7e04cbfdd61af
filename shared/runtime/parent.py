"""Ends a process together with the one that started it, however that one ends."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
PARENT_PID = "COMANDA_PARENT_PID"
"""Environment variable in which a parent names itself to its child."""
READY_FD = "COMANDA_READY_FD"
"""Environment variable with the file descriptor on which a child says that it is ready."""


def announce_ready(address: str) -> None:
    """Tells the parent, where it waits for that, that this process serves `address` now."""
    descriptor = os.environ.pop(READY_FD, None)
    if descriptor is not None:
        with os.fdopen(int(descriptor), "w") as file:
            file.write(address)


def shown_address(host: str, port: int) -> str:
    """Returns where a client on this machine finds a server that listens on `host`."""
    if host in ("::", "::1", "0.0.0.0", "127.0.0.1"):
        return f"localhost:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """Has the kernel send this process `number` when process `parent` ends; call it in the main thread.

    Linux only; elsewhere it does nothing. A parent that is gone already ends the process here.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
