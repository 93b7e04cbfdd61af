"""Two independent servers that speak the API of OpenSearch and of Elasticsearch, in memory."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import noida_db
import osmem_server

from tests.support.ports import hold_port

_PATIENCE = 60.0


@contextlib.contextmanager
def search_server(kind: str) -> Iterator[str]:
    """Where a server answers; `kind` is `osmem`, which resembles OpenSearch 3, or `noida`, Elasticsearch 8."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        port = hold_port(stack)
        if kind == "osmem":
            program = Path(osmem_server.resolve_binary())
            arguments = ["-no-ja", "-no-stdin-watch", "-addr", f"127.0.0.1:{port}"]
        else:
            program = Path(noida_db.__file__).with_name("noida-db")
            arguments = ["start", "--data-dir", folder, "--only", "elasticsearch", "--elasticsearch-port", str(port)]
        if not os.access(program, os.X_OK):
            program.chmod(0o755)
        quiet = subprocess.DEVNULL
        process = stack.enter_context(subprocess.Popen([program, *arguments], stdin=quiet, stdout=quiet, stderr=quiet))
        stack.callback(process.kill)
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, f"{kind} ended"
            assert time.monotonic() < deadline, f"{kind} does not answer"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
