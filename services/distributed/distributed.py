"""One running distributed service: what its parts are, and its life from the start to the stop."""

import asyncio
import gc
from typing import Any

import structlog

from services.distributed.actions import DistributedServer
from services.distributed.batch import NotificationBatch
from services.distributed.knowledge import Knowledge
from services.distributed.observers import Observers
from services.distributed.pickled import PickleParser, open_codecs
from services.distributed.relay import Relay
from services.distributed.settings import DistributedSettings
from services.distributed.stock import StockNews
from shared.domain.errors import StoreError
from shared.net.gate import guard
from shared.net.limits import Limits
from shared.net.listen import listen
from shared.net.server import TcpServer
from shared.runtime.lifecycle import bind_error, closing_seconds
from shared.runtime.metrics import ServerMetrics
from shared.runtime.parent import announce_ready, shown_address
from shared.runtime.traces import open_traces
from shared.server.dispatcher import Dispatcher
from shared.stores.ports.feeds import OrderFeed, RecordFeed

_TRIM_SECONDS = 60.0
_TRIM_PAUSE_SECONDS = 0.1
# More than this waits for the next turn, so that the relay gets its own.
_TURN_REQUESTS = 64


class Distributed:
    """One service that follows `orders` and `records`. `serve` is its whole life."""

    def __init__(
        self,
        settings: DistributedSettings,
        knowledge: Knowledge,
        orders: OrderFeed,
        records: RecordFeed,
        limits: Limits,
    ) -> None:
        self._settings = settings
        self._knowledge = knowledge
        self._orders = orders
        self._records = records
        self._limits = limits
        self._log = structlog.get_logger()

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until `stop`. Raises StartupError when the port cannot be had."""
        settings, knowledge = self._settings, self._knowledge
        host, port, setting = settings.listening
        try:
            listeners = listen(host, port)
        except OSError as error:
            raise bind_error(error, host, port, "DISTRIBUTED_PORT") from error
        settings.check_exposure(listeners, setting)
        observers = Observers(knowledge.log, unread_bytes=settings.max_unread_bytes)
        knowledge.told = observers.publish
        traces = open_traces("distributed", settings.otel_exporter_otlp_endpoint)
        stock = StockNews(knowledge.notifications, user=settings.low_stock_user)
        relay = Relay(knowledge, self._orders, self._records, stock, data=settings.corporate_data, traces=traces)
        limit = settings.max_document_bytes
        codecs = open_codecs(settings.pickle_key, payload_bytes=limit, nonces=knowledge.nonces)
        metrics = ServerMetrics()
        metrics.gauge("comanda_events", "Events told so far.", lambda: knowledge.log.next - 1)
        requests = DistributedServer(knowledge, observers, metrics, relay.state)
        dispatcher = Dispatcher(
            requests, PickleParser(codecs), NotificationBatch(requests), metrics, turn_weight=_TURN_REQUESTS
        )
        server = TcpServer(guard(dispatcher, settings.service_token), self._limits, settings.tls())
        await server.start(listeners)
        port = listeners[0].getsockname()[1]
        self._log.info("listening", host=host, port=port)
        announce_ready(shown_address(host, port))
        gc.freeze()
        loop = asyncio.get_running_loop()
        dispatching = loop.create_task(dispatcher.run(), name="dispatcher")
        parts = [dispatching, loop.create_task(relay.run(), name="relay")]
        parts.append(loop.create_task(self._trim_now_and_then(), name="trim"))
        stopped = loop.create_task(stop.wait(), name="stop")
        ends: list[asyncio.Task[Any]] = [*parts, stopped]
        # None of these ends by itself: the first to end by a fault ends the whole.
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._log.info("stopping")
            others = [stopped, *parts[1:]]
            for task in others:
                task.cancel()
            await asyncio.wait(others)
        observers.close()
        server.stop_listening()
        await dispatcher.close()
        closing = closing_seconds(settings.shutdown_seconds)
        await asyncio.wait([dispatching], timeout=settings.shutdown_seconds - closing)
        await server.stop(closing)
        if traces is not None:
            traces.close()
        self._log.info("stopped")
        for part in parts:
            if part.done() and not part.cancelled() and (fault := part.exception()) is not None:
                raise fault

    async def _trim_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_TRIM_SECONDS)
            try:
                while self._knowledge.trim():
                    await asyncio.sleep(_TRIM_PAUSE_SECONDS)
            except StoreError as error:
                self._log.warning("could not let go of old events", reason=error.message)
