"""The intake as a whole: what it is made of, how it starts, and the order in which it stops."""

import asyncio
import gc
import time
from typing import Any

import msgspec
import structlog

from services.intake.batch import IntakeBatch
from services.intake.clock import ReceiptClock
from services.intake.metrics import IntakeMetrics
from services.intake.order_lifecycle import OrderLifecycle
from services.intake.parser import OrderParser
from services.intake.readers import ReaderAuthentication
from services.intake.retention import retention_of
from services.intake.server import IntakeServer
from services.intake.settings import IntakeSettings
from shared import VERSION
from shared.net.limits import Limits
from shared.net.listeners import is_open_to_others, open_listeners
from shared.net.server import TcpServer
from shared.runtime.lifecycle import closing_seconds, end_cancellation
from shared.runtime.parent import announce_ready, shown_address
from shared.runtime.parts import ServiceParts
from shared.runtime.traces import open_traces
from shared.runtime.waiting import repeat_work
from shared.server.dispatcher import Dispatcher
from shared.stores.ports.orders import OrderStore, Recovery, Superseded
from shared.wire.replies import encode_line
from workers.backlog import Backlog
from workers.child import ChildConfig
from workers.pool import Pool, PoolPolicy, Spawn, spawn_worker

# More than this waits for the next turn, so that a turn stays short and other connections get theirs.
_TURN_ORDERS = 2048
_WATERMARK_SECONDS = 60.0
# Of the lease of a server, how often it shows that it lives, and looks after others.
_HEARTBEAT_SHARE = 0.2
_AT_ONCE_SECONDS = 1.0
# What waits in a worker's queue beyond what it can run, as a share of that: it keeps the worker busy
# until the next orders come, and urgent ones cannot pass it.
_PREFETCH_SHARE = 4


class Intake:
    """One running intake. `serve` is its whole life."""

    def __init__(
        self,
        settings: IntakeSettings,
        store: OrderStore,
        recovery: Recovery,
        limits: Limits,
        child: ChildConfig,
        *,
        spawn: Spawn = spawn_worker,
    ) -> None:
        self._settings = settings
        self._store = store
        self._recovery = recovery
        self._log = structlog.get_logger()
        places = settings.worker_count * settings.worker_concurrency
        self._traces = open_traces("intake", settings.otel_exporter_otlp_endpoint)
        metrics = IntakeMetrics()
        self._fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        backlog = Backlog(settings.ageing_seconds)
        policy = PoolPolicy(
            size=settings.worker_count,
            queue_orders=settings.worker_concurrency + -(-settings.worker_concurrency // _PREFETCH_SHARE),
            lease_seconds=settings.lease_seconds,
            max_rescues=settings.max_rescues,
        )
        self._lifecycle = OrderLifecycle(
            store,
            metrics,
            lambda listener: Pool(policy, child, backlog, store, listener, self._fail, spawn=spawn),
            limit=settings.max_pedidos_en_cola,
            places=places,
            unread_bytes=settings.max_unread_bytes,
        )
        self._requests = IntakeServer(
            store,
            self._lifecycle,
            metrics=metrics,
            connections=lambda: len(self._server.connections),
            readers=ReaderAuthentication(settings.intake_read_token, is_network_closed=settings.open_internal_ports),
            repairs=recovery.repairs,
        )
        clock = ReceiptClock(settings.request_id_seconds, newest=recovery.newest)
        self._batch = IntakeBatch(
            self._requests, metrics, self._traces, clock, by_address=settings.request_id_scope == "address"
        )
        self._audit = settings.open_audit_log("intake")
        self._dispatcher = Dispatcher(
            self._requests,
            OrderParser(settings.max_array_orders),
            self._batch,
            metrics,
            turn_weight=_TURN_ORDERS,
            greeting=self._greeting(limits),
            audit=self._audit,
        )
        self._server = TcpServer(self._dispatcher, limits, settings.build_tls())

    def _greeting(self, limits: Limits) -> bytes:
        return encode_line(
            {
                "event": "hello",
                "service": "comanda-intake",
                "version": VERSION,
                "send": "an order as JSON, or a verb; try: help",
                "limits": {
                    "document_bytes": limits.document_bytes,
                    "depth": limits.depth,
                    "open_orders": self._settings.max_pedidos_en_cola,
                    "idle_seconds": limits.idle_seconds,
                },
            }
        )

    def describe_state(self) -> dict[str, Any]:
        """Returns the fields of a state dump: connections, open orders, and the pool."""
        return {**self._server.describe_state(), **self._lifecycle.describe_state()}

    def find_workers(self) -> list[int]:
        """Returns the process ids of the workers that live."""
        return self._lifecycle.find_processes()

    def _fail(self, error: BaseException) -> None:
        if not self._fault.done():
            self._fault.set_exception(error)

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until `stop`, then drains. Raises StartupError when the port cannot be had."""
        settings, store = self._settings, self._store
        settings.check_secrets()
        host, port, setting = settings.listening
        listeners = open_listeners(host, port, "SERVER_PORT")
        settings.check_exposure(listeners)
        began = time.monotonic()
        self._resume()
        await self._lifecycle.start()
        await self._server.start(listeners)
        port = listeners[0].getsockname()[1]
        self._log.info("listening", host=host, port=port, workers=settings.worker_count)
        if settings.stage == "dev" and not settings.open_internal_ports and is_open_to_others(listeners):
            self._log.warning(
                "dev_stage_is_open_to_others",
                setting=setting,
                hint="others can place, see and cancel orders; SERVER_BIND=localhost keeps them out",
            )
        announce_ready(shown_address(host, port))
        gc.freeze()
        heartbeat_seconds = settings.server_lease_seconds * _HEARTBEAT_SHARE
        parts = ServiceParts()
        dispatching = parts.start(self._dispatcher.run(), "dispatcher")
        # Without a watermark only the next start takes longer.
        parts.start(repeat_work("watermark_not_advanced", _WATERMARK_SECONDS, store.advance_watermark), "watermark")
        parts.start(retention_of(settings, store).run(), "retention")
        heartbeat = repeat_work("heartbeat_failed", heartbeat_seconds, store.send_heartbeat, fatal=Superseded)
        parts.start(heartbeat, "heartbeat")
        adoption = repeat_work("orphan_check_failed", heartbeat_seconds, self._adopt_orphans, fatal=Superseded)
        parts.start(adoption, "adoption")
        parts.start(self._audit.run(), "audit log")
        parts.watch(self._fault)
        shutdown_seconds = settings.shutdown_seconds
        try:
            await parts.wait(stop)
        except asyncio.CancelledError:
            end_cancellation()
            shutdown_seconds = _AT_ONCE_SECONDS
        finally:
            parts.cancel(but=dispatching)
            await self._stop(dispatching, shutdown_seconds, time.monotonic() - began)
        parts.raise_failure()

    def _resume(self) -> None:
        """Takes up what a former run left open."""
        if (repair := self._recovery.repair) is not None:
            self._log.error("store_files_disagree", **msgspec.structs.asdict(repair))
        orders = self._lifecycle.recover(self._recovery)
        # The queue has them now: a second list of all open orders would stay in memory for good.
        self._recovery.open.clear()
        if self._recovery.accepted:
            self._log.info("store_opened", accepted=self._recovery.accepted, recovered=orders)

    async def _adopt_orphans(self) -> None:
        """Takes over what dead servers on the same store have left. Raises StoreError."""
        adoption = await self._store.adopt_orphans()
        orders = self._lifecycle.adopt(adoption)
        if adoption.adopted:
            self._log.warning("orders_adopted", orders=orders)
        if adoption.postponed is not None:
            self._log.warning("adoption_postponed", reason=adoption.postponed)

    async def _stop(self, dispatching: asyncio.Task[None], seconds: float, uptime: float) -> None:
        """No new orders, then no more work, then no connections, within `seconds`; a cancellation shortens them."""
        self._log.info("stopping", open=self._lifecycle.open)
        self._requests.stopping = True
        self._server.stop_listening()
        self._batch.refuse_orders()
        closing = closing_seconds(seconds)
        try:
            await self._lifecycle.drain(seconds - closing)
        except asyncio.CancelledError:
            end_cancellation()
            self._log.warning("handing_back_at_once", running=self._lifecycle.running)
            await self._lifecycle.drain(_AT_ONCE_SECONDS)
        await self._dispatcher.close()
        if not dispatching.done():
            await dispatching
        await self._server.stop(closing)
        await self._audit.close()
        self._sum_up(uptime)

    def _sum_up(self, seconds: float) -> None:
        final = self._lifecycle.snapshot()
        if self._traces is not None:
            self._traces.close()
        self._log.info(
            "stopped",
            **{state.value.replace(" ", "_"): number for state, number in final.states.items()},
            accepted=final.accepted,
            waiting_ms=final.waiting_ms,
            processing_ms=final.processing_ms,
            seconds=round(seconds, 1),
        )
