"""A real DynamoDB-compatible server for the tests: ministack in an environment of its own, or DYNAMODB_ENDPOINT."""

import contextlib
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from shared.stores.dynamodb.settings import DynamoSettings
from tests.support.ports import hold_port

_SERVER = Path(__file__).parents[2] / ".venv-dynamodb" / "bin" / "ministack"
_PATIENCE = 60.0

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
"""What a local server wants to see; it lets everybody in."""


class DynamoServer:
    """The server as a process, so that it can be killed and stopped."""

    def __init__(self) -> None:
        self.port = hold_port(self)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @staticmethod
    def missing() -> str | None:
        """What has to be done to have the server; None when it is there."""
        return None if _SERVER.exists() else "ministack (make .venv-dynamodb/.installed)"

    def start(self) -> None:
        """Starts it, empty, and waits until it answers."""
        environ = {**os.environ, **CREDENTIALS, "GATEWAY_PORT": str(self.port), "LOG_LEVEL": "ERROR"}
        self._process = subprocess.Popen(
            [_SERVER], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self._process.poll() is None, "ministack ended; try: make .venv-dynamodb/.installed"
            assert time.monotonic() < deadline, "ministack does not answer"
            time.sleep(0.02)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The running process."""
        assert self._process is not None
        return self._process

    def stop(self) -> None:
        """Kills it; its state is gone."""
        self.process.kill()
        self.process.wait(_PATIENCE)


@contextlib.contextmanager
def dynamodb_endpoint() -> Iterator[str]:
    """Where a server answers: the one that DYNAMODB_ENDPOINT names, or one started for the purpose."""
    if endpoint := os.environ.get("DYNAMODB_ENDPOINT"):
        yield endpoint
        return
    server = DynamoServer()
    server.start()
    try:
        yield server.endpoint
    finally:
        server.stop()


def own_tables(endpoint: str) -> DynamoSettings:
    """Settings under which tables are nobody else's."""
    return DynamoSettings(endpoint=endpoint, region="eu-west-1", prefix=f"t{uuid.uuid4().hex[:12]}-")


def patient_tables(endpoint: str) -> DynamoSettings:
    """The same for stores in the process of a test, which give a busy machine more time."""
    return msgspec.structs.replace(own_tables(endpoint), attempt_seconds=30.0, deadline_seconds=60.0)


def settings_of(settings: DynamoSettings) -> dict[str, str]:
    """The same as the settings of a server."""
    assert settings.endpoint is not None
    assert settings.region is not None
    return {
        "STORE": "dynamodb",
        "DYNAMODB_ENDPOINT": settings.endpoint,
        "DYNAMODB_PREFIX": settings.prefix,
        "AWS_REGION": settings.region,
    }
