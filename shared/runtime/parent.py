"""Communication of a process with its parent: announces that it is ready, and ends with the parent."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
PARENT_PID = "COMANDA_PARENT_PID"
"""Environment variable with the process id of the parent."""
READY_FD = "COMANDA_READY_FD"
"""Environment variable with the file descriptor for announcing that the child is ready."""


def announce_ready(address: str) -> None:
    """Announces to the parent, if it waits for that, that this process now serves `address`."""
    descriptor = os.environ.pop(READY_FD, None)
    if descriptor is not None:
        with os.fdopen(int(descriptor), "w") as file:
            file.write(address)


def shown_address(host: str, port: int) -> str:
    """Returns the address for clients on this machine of a server that listens on `host`."""
    if host in ("::", "::1", "0.0.0.0", "127.0.0.1"):
        return f"localhost:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """Makes the kernel send signal `number` to this process when process `parent` ends. Call it in the main thread.

    Linux only; elsewhere it has no effect. If the parent has already ended, the process ends here.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
