"""Ends a process together with the one that started it, however that one ends."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
PARENT_PID = "COMANDA_PARENT_PID"
"""Environment variable in which a parent names itself to its child."""


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """Has the kernel send this process `number` when process `parent` ends; call it in the main thread.

    Linux only; elsewhere it does nothing. A parent that is gone already ends the process here.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
