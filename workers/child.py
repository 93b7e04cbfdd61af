"""The entry point of a worker process: opens the adapters, runs the worker, ends with its parent."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator

import setproctitle
import structlog
import uvloop
from msgspec import Struct

from shared.domain.errors import ComandaError
from shared.runtime import logs
from shared.runtime.parent import die_with_parent
from shared.runtime.state_dump import StateDump
from shared.runtime.traces import open_traces
from shared.stores.dynamodb.settings import DynamoWorkSettings
from shared.stores.ports.orders import WorkStore
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.work_store import SqliteWorkStore
from workers.attempt_traces import trace_attempts
from workers.failures import known_secrets
from workers.handlers import Kit, load_handler
from workers.worker import Worker, WorkPolicy

_NICENESS = 10


WorkersStore = StoreFiles | DynamoWorkSettings
"""Location of a worker's store."""


class ChildConfig(Struct, frozen=True):
    """Configuration of a worker process."""

    parent: int
    store: WorkersStore
    handler: str
    kit: Kit
    shutdown_seconds: float
    policy: WorkPolicy
    log_format: logs.LogFormat
    log_level: logs.LogLevel
    traces: str | None = None
    """Address of an OpenTelemetry collector, or None."""


def main(config: ChildConfig, index: int, end: socket.socket) -> None:
    """Runs one worker. Exit status 0 after a drain, 1 after a fault, which is in the log."""
    # Ctrl-C reaches the whole group; the pool decides when a worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL, config.parent)
    # Answering comes first: a worker takes what the intake leaves of the processors.
    os.nice(_NICENESS)
    name = f"w{index}-{os.getpid()}"
    setproctitle.setproctitle(f"comanda-worker {name}")
    logs.configure_logging(form=config.log_format, level=config.log_level, service="worker")
    # Orders come in batches of thousands of small objects without cycles: the default threshold would
    # look through them dozens of times a batch.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_work_with_dump(config, name, end))
    except ComandaError as error:
        structlog.get_logger().error("worker ends", worker=name, reason=error.message, hint=error.hint)
        sys.exit(1)
    except Exception:
        structlog.get_logger().exception("worker_failed", worker=name)
        sys.exit(1)


async def _work_with_dump(config: ChildConfig, name: str, end: socket.socket) -> None:
    dump = StateDump()
    with dump.on_signal():
        await _run_worker(config, name, end, dump)


async def _run_worker(config: ChildConfig, name: str, end: socket.socket, dump: StateDump) -> None:
    handler = load_handler(config.handler, config.kit)
    traces = open_traces("worker", config.traces)
    secrets = known_secrets(os.environ, config.kit.service_token)
    if traces is not None or config.log_level == "debug":
        handler = handler._replace(handle=trace_attempts(handler.handle, name, traces))
    async with _open_store(config.store) as store:
        worker = Worker(name, store, handler, config.policy, secrets=secrets)
        dump.describe = worker.describe_state
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain, config.shutdown_seconds)
        await worker.run(end)
    if traces is not None:
        traces.close()


@contextlib.asynccontextmanager
async def _open_store(where: WorkersStore) -> AsyncIterator[WorkStore]:
    if isinstance(where, DynamoWorkSettings):
        # Only here: what it needs takes as long to load as the rest of a worker to start.
        from shared.stores.dynamodb.stores import dynamo_work  # noqa: PLC0415

        async with dynamo_work(where) as opened:
            yield opened
        return
    store = SqliteWorkStore(where)
    yield store
    await store.close()
