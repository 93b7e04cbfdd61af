"""The persistence server: builds its parts, serves, and stops them."""

import asyncio
import gc
import secrets
import time
from typing import Any

import msgspec
import structlog

from services.persistence.audit import TENANT, Audit
from services.persistence.audit_retention import AuditRetention
from services.persistence.batch import RecordBatch
from services.persistence.observers import RecordObservers
from services.persistence.parser import RecordsParser
from services.persistence.server import PersistenceServer
from services.persistence.settings import PersistenceSettings
from shared.domain.errors import StartupError, StoreError
from shared.domain.records import Condition, Put, Transaction
from shared.domain.tables import SECRETS, TENANTS, Tables, suite_tables
from shared.domain.tenants import MAIN, TenantRecord
from shared.net.authentication import require_token
from shared.net.fanout import Fanout
from shared.net.limits import Limits
from shared.net.listeners import open_listeners
from shared.net.server import TcpServer
from shared.runtime.clock import iso_now
from shared.runtime.lifecycle import closing_seconds
from shared.runtime.metrics import ServerMetrics
from shared.runtime.parent import announce_ready, shown_address
from shared.runtime.parts import ServiceParts
from shared.runtime.waiting import repeat_work
from shared.server.dispatcher import Dispatcher
from shared.stores.audit_log import AuditLog
from shared.stores.ports.records import ItemLookup, RecordStore
from shared.wire.cursors import Cursors

_TIDY_SECONDS = 60.0
# More than this waits for the next turn, so that a turn stays short and other connections get theirs.
_TURN_REQUESTS = 512
_KEY_BYTES = 32
# A shard of a stream may be read five times a second.
_POLL_SECONDS = 0.25


def tables(settings: PersistenceSettings) -> Tables:
    """Returns all tables of the server."""
    return suite_tables(settings.corporate_data, settings.corporate_log)


def make_dispatcher(server: PersistenceServer, limits: Limits, audit_log: AuditLog) -> Dispatcher[PersistenceServer]:
    """Returns the dispatcher of the server's requests."""
    return Dispatcher(
        server,
        RecordsParser(limits.depth),
        RecordBatch(server),
        server.metrics,
        turn_weight=_TURN_REQUESTS,
        audit=audit_log,
    )


class Persistence:
    """One server on one store, which has the tables of `tables(settings)`."""

    def __init__(self, settings: PersistenceSettings, store: RecordStore, limits: Limits) -> None:
        self._settings = settings
        self._store = store
        self._limits = limits
        self._server: TcpServer | None = None
        self._log = structlog.get_logger()

    def describe_state(self) -> dict[str, Any]:
        """Returns the fields of a state dump: connections and requests."""
        return {} if self._server is None else self._server.describe_state()

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until `stop`. Raises StartupError if the port or the store is not available."""
        settings, store = self._settings, self._store
        settings.check_secrets()
        host, port, setting = settings.listening
        listeners = open_listeners(host, port, "TCP_PERSIST_PORT")
        settings.check_exposure(listeners, setting)
        known = tables(settings)
        data, log = known[settings.corporate_data], known[settings.corporate_log]
        # One server alone on its file goes on with its chain; of several each has its own.
        chain = "main" if settings.store == "sqlite" else f"{time.time_ns() // 1_000_000:x}-{secrets.token_hex(4)}"
        audit = Audit(store, log, chain)
        try:
            await audit.load_end()
            cursors = Cursors(await self._prepare_store())
        except StoreError as error:
            raise StartupError(f"the store cannot be read: {error.message}", hint=error.hint) from error
        observers = RecordObservers(
            store,
            data,
            Fanout(settings.max_unread_bytes),
            poll_seconds=None if settings.store == "sqlite" else _POLL_SECONDS,
        )
        requests = PersistenceServer(
            store,
            known,
            data,
            log,
            audit=audit,
            observers=observers,
            cursors=cursors,
            metrics=ServerMetrics(),
            opens_private_tables=settings.opens_private_tables,
        )
        audit_log = settings.open_audit_log("persistence")
        dispatcher = make_dispatcher(requests, self._limits, audit_log)
        server = self._server = TcpServer(
            require_token(dispatcher, settings.service_token, on_refusal=audit_log.record_refused_client),
            self._limits,
            settings.build_tls(),
        )
        await server.start(listeners)
        port = listeners[0].getsockname()[1]
        self._log.info("listening", host=host, port=port)
        announce_ready(shown_address(host, port))
        gc.freeze()
        parts = ServiceParts()
        dispatching = parts.start(dispatcher.run(), "dispatcher")
        parts.start(observers.run(), "observers")
        parts.start(audit_log.run(), "audit log")
        parts.start(repeat_work("tidying_failed", _TIDY_SECONDS, store.tidy), "tidy")
        if settings.keep_audit_days and settings.store == "sqlite":
            folder = settings.records_file.with_name("audit")
            retention = AuditRetention(store, audit, folder, keep_days=settings.keep_audit_days)
            parts.start(retention.run(), "audit retention")
        await parts.wait(stop)
        self._log.info("stopping")
        server.stop_listening()
        parts.cancel(but=dispatching)
        await dispatcher.close()
        closing = closing_seconds(settings.shutdown_seconds)
        await asyncio.wait([dispatching], timeout=settings.shutdown_seconds - closing)
        await server.stop(closing)
        await audit_log.close()
        self._log.info("stopped")
        parts.raise_failure()

    async def _prepare_store(self) -> bytes:
        """Returns the key with which all servers of this store seal cursors.

        The first server of a store generates it, and adds the first tenant.
        """
        drawn = {"name": "cursors", "key": secrets.token_hex(_KEY_BYTES)}
        now = iso_now()
        first = msgspec.to_builtins(TenantRecord(MAIN, name=MAIN, created_at=now, updated_at=now))
        new = Condition(exists=False)
        await self._store.write(
            [
                Transaction(TENANT, [Put(SECRETS.name, drawn, new)]),
                Transaction(MAIN, [Put(TENANTS.name, first, new)]),
            ]
        )
        (record,) = await self._store.get([ItemLookup(TENANT, SECRETS.name, {"name": "cursors"})])
        assert record is not None
        return bytes.fromhex(record.item["key"])
