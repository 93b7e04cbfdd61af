"""The name of the person at the command line, for the audit logs of the servers."""

import getpass
import os
import socket


def name_operating_user() -> str:
    """Returns the user of the operating system and the machine, as in `ana@till-1`. Servers take it as a claim."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may have no name.
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:128]
