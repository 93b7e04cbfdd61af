"""The distributed service: builds its parts, serves, and stops them."""

import asyncio
import gc
from typing import Any

import structlog

from services.distributed.actions import DistributedServer
from services.distributed.batch import NotificationBatch
from services.distributed.observers import EventObservers
from services.distributed.pickled import PickleParser, open_codecs
from services.distributed.read_model import ReadModel
from services.distributed.relay import Relay
from services.distributed.settings import DistributedSettings
from services.distributed.stock_events import StockEvents
from shared.net.authentication import require_token
from shared.net.limits import Limits
from shared.net.listeners import open_listeners
from shared.net.server import TcpServer
from shared.runtime.lifecycle import closing_seconds
from shared.runtime.metrics import ServerMetrics
from shared.runtime.parent import announce_ready, shown_address
from shared.runtime.parts import ServiceParts
from shared.runtime.traces import open_traces
from shared.runtime.waiting import repeat_work
from shared.server.dispatcher import Dispatcher
from shared.stores.ports.feeds import OrderFeed, RecordFeed

_TRIM_SECONDS = 60.0
_TRIM_PAUSE_SECONDS = 0.1
# More than this waits for the next turn, so that the relay gets its own.
_TURN_REQUESTS = 64


class Distributed:
    """One service that follows `orders` and `records`."""

    def __init__(
        self,
        settings: DistributedSettings,
        read_model: ReadModel,
        orders: OrderFeed,
        records: RecordFeed,
        limits: Limits,
    ) -> None:
        self._settings = settings
        self._read_model = read_model
        self._orders = orders
        self._records = records
        self._limits = limits
        self._server: TcpServer | None = None
        self._log = structlog.get_logger()

    def describe_state(self) -> dict[str, Any]:
        """Returns the fields of a state dump: connections and requests."""
        return {} if self._server is None else self._server.describe_state()

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until `stop`. Raises StartupError if it cannot listen."""
        settings, read_model = self._settings, self._read_model
        settings.check_secrets()
        host, port, setting = settings.listening
        listeners = open_listeners(host, port, "DISTRIBUTED_PORT")
        settings.check_exposure(listeners, setting)
        observers = EventObservers(read_model.log, unread_bytes=settings.max_unread_bytes)
        read_model.told = observers.publish
        traces = open_traces("distributed", settings.otel_exporter_otlp_endpoint)
        stock = StockEvents(read_model.notifications, user=settings.low_stock_user)
        relay = Relay(read_model, self._orders, self._records, stock, data=settings.corporate_data, traces=traces)
        limit = settings.max_document_bytes
        codecs = open_codecs(settings.pickle_key, payload_bytes=limit, nonces=read_model.nonces)
        metrics = ServerMetrics()
        metrics.add_gauge("comanda_events", "Events told so far.", lambda: read_model.log.next - 1)
        requests = DistributedServer(read_model, observers, metrics, relay.state)
        audit = settings.open_audit_log("distributed")
        dispatcher = Dispatcher(
            requests,
            PickleParser(codecs),
            NotificationBatch(requests),
            metrics,
            turn_weight=_TURN_REQUESTS,
            audit=audit,
        )
        server = self._server = TcpServer(
            require_token(dispatcher, settings.service_token, on_refusal=audit.record_refused_client),
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
        parts.start(relay.run(), "relay")
        parts.start(audit.run(), "audit log")
        parts.start(repeat_work("expired_rows_not_deleted", _TRIM_SECONDS, self._delete_expired), "trim")
        try:
            await parts.wait(stop)
        finally:
            self._log.info("stopping")
            await asyncio.wait(parts.cancel(but=dispatching))
        observers.close()
        server.stop_listening()
        await dispatcher.close()
        closing = closing_seconds(settings.shutdown_seconds)
        await asyncio.wait([dispatching], timeout=settings.shutdown_seconds - closing)
        await server.stop(closing)
        await audit.close()
        if traces is not None:
            traces.close()
        self._log.info("stopped")
        parts.raise_failure()

    async def _delete_expired(self) -> None:
        while self._read_model.delete_expired():
            await asyncio.sleep(_TRIM_PAUSE_SECONDS)
