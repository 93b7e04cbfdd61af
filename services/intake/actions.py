"""Carries out actions: each gives the members of its answer, or raises the error that becomes one."""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.intake.help import help_members
from services.intake.metrics import IntakeMetrics
from services.intake.order_lifecycle import OrderLifecycle
from services.intake.requests import (
    Action,
    Cancel,
    Explain,
    Health,
    Help,
    ListOrders,
    Metrics,
    Ping,
    Quit,
    Retry,
    Stats,
    Status,
    Unwatch,
    Watch,
)
from shared.domain.errors import ComandaError, Conflict, InvalidParams, NotFound
from shared.domain.ids import parse_id
from shared.domain.orders import Order, attempt_view, iso_time, order_view
from shared.domain.states import State
from shared.net.connection import Connection
from shared.stores.ports.orders import OrderListQuery, OrderStore, Repair
from shared.wire.replies import encode_json, error_reply, success_reply

_OPEN = (State.QUEUED, State.RUNNING)


class Actions:
    """Everything that can be asked besides placing an order."""

    def __init__(
        self,
        store: OrderStore,
        lifecycle: OrderLifecycle,
        *,
        metrics: IntakeMetrics,
        version: str,
        connections: Callable[[], int],
        repairs: Sequence[Repair] = (),
    ) -> None:
        self._store = store
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._version = version
        self._connections = connections
        self._repairs = [_repair_view(repair) for repair in repairs]
        self._started = time.monotonic()
        self.stopping = False
        self.store_trouble: str | None = None
        """Why the store refused the last orders; None when it took them."""

    @staticmethod
    def is_immediate(action: Action) -> bool:
        """Whether `at_once` answers the action, from memory alone."""
        if isinstance(action, Watch):
            return action.id is None
        return isinstance(action, Ping | Help | Health | Metrics | Stats | Unwatch | Quit)

    def at_once(self, action: Action, connection: Connection) -> dict[str, Any]:
        """The answer to an immediate action."""
        try:
            answer = success_reply(self._from_memory(action, connection), action.request_id)
        except ComandaError as error:
            self.count(action, error)
            return error_reply(error, action.request_id)
        self.count(action)
        return answer

    def count(self, action: Action, error: ComandaError | None = None) -> None:
        """An action has been answered."""
        self._metrics.count_request(str(action.__struct_config__.tag), "ok" if error is None else error.code)

    def _from_memory(self, action: Action, connection: Connection) -> dict[str, Any]:
        match action:
            case Ping():
                return {"pong": True}
            case Help(topic=topic):
                return help_members(topic)
            case Health():
                return self._health()
            case Metrics():
                return {"metrics": self._metrics.render_text()}
            case Stats():
                return {"stats": self._stats()}
            case Unwatch():
                self._lifecycle.unwatch(connection)
                return {"watching": None}
            case Watch():
                self._lifecycle.watch(connection, None)
                return {"watching": "all"}
            case Quit():
                connection.finish()
                return {"bye": True}
        raise AssertionError(f"{type(action).__name__} is not immediate")

    async def perform(self, action: Action, connection: Connection) -> dict[str, Any]:
        """The answer to an action that asks the store. Raises ComandaError."""
        match action:
            case Status(id=order_id):
                return {"pedido": order_view(await self._order(order_id))}
            case Explain(id=order_id):
                return await self._explain(await self._order(order_id))
            case Watch(id=str() as order_id):
                order = await self._order(order_id)
                self._lifecycle.watch(connection, _sequence(order.id))
                return {"watching": order.id, "estado": order.state.value}
            case ListOrders():
                return await self._list(action)
            case Cancel(id=order_id):
                return await self._cancel(order_id)
            case Retry(id=order_id):
                return await self._retry(order_id)
        raise AssertionError(f"{type(action).__name__} has no answer")

    def _health(self) -> dict[str, Any]:
        workers = self._lifecycle.workers()
        ready = sum(worker.ready for worker in workers)
        whole = ready == len(workers) and self.store_trouble is None
        status = "stopping" if self.stopping else "ok" if whole else "degraded"
        return {
            "status": status,
            "store": self.store_trouble or "ok",
            "workers": {"ready": ready, "configured": len(workers)},
            "version": self._version,
            "uptime_s": round(time.monotonic() - self._started, 1),
        }

    def _stats(self) -> dict[str, Any]:
        now = self._lifecycle.snapshot()
        return {
            "pedidos": {state.value: number for state, number in now.states.items()},
            "abiertos": now.open,
            "limite": now.limit,
            "aceptados": now.accepted,
            "con_nota": now.noted,
            "por_segundo": None if now.rate is None else round(now.rate, 1),
            "espera_ms": now.waiting_ms,
            "proceso_ms": now.processing_ms,
            "conexiones": self._connections(),
            "workers": [
                {"id": worker.id, "pid": worker.pid, "en_mano": worker.in_hand} for worker in self._lifecycle.workers()
            ],
            "reparaciones": self._repairs,
            "uptime_s": round(time.monotonic() - self._started, 1),
        }

    async def _order(self, order_id: str) -> Order:
        order = await self._store.get(order_id)
        if order is None:
            hint = None if parse_id(order_id) else "an id looks like 019aaf64-53c1-7d0e-8b2a-00000000002a"
            raise NotFound(f"there is no order {order_id}", field="id", hint=hint)
        return order

    async def _explain(self, order: Order) -> dict[str, Any]:
        stored, queued = order.stored, order.queued
        if stored is None and order.state is State.QUEUED:
            stored = self._lifecycle.stored_at(_sequence(order.id))
        moments = (
            ("received", order.received),
            ("stored", stored),
            ("queued", queued),
            ("started", order.started),
            ("finished", order.finished),
        )
        answer: dict[str, Any] = {
            "id": order.id,
            "estado": order.state.value,
            "intento": order.attempt,
            "worker": order.worker,
            "pasos": [
                {"paso": name, "cuando": iso_time(moment), "ms": round((moment - order.received) / 1000, 3)}
                for name, moment in moments
                if moment is not None
            ],
        }
        if order.detail is not None:
            answer["detalle"] = order.detail
        if failed := await self._store.attempts(order.id):
            answer["errores"] = [attempt_view(one) for one in failed]
        return answer

    async def _list(self, action: ListOrders) -> dict[str, Any]:
        query = OrderListQuery(
            state=action.estado,
            customer=action.cliente,
            since=None if action.desde is None else round(action.desde.timestamp() * 1e6),
            until=None if action.hasta is None else round(action.hasta.timestamp() * 1e6),
            limit=action.limite,
            before=None if action.cursor is None else _decode_cursor(action.cursor),
            among=None
            if action.estado not in _OPEN
            else self._lifecycle.ranges(running=action.estado is State.RUNNING),
        )
        page = await self._store.list(query)
        cursor = None if page.before is None else _encode_cursor(page.before)
        # A page is up to a mebibyte: what takes milliseconds is done beside the event loop.
        return {"pedidos": await asyncio.to_thread(_encode_views, page.orders), "cursor": cursor}

    async def _cancel(self, order_id: str) -> dict[str, Any]:
        state = await self._lifecycle.cancel(order_id)
        if state is not None:
            raise Conflict(
                f"the order is {state.value} and can no longer be cancelled",
                field="id",
                hint=f"only an order that is {State.QUEUED.value} or {State.FAILED.value} can be cancelled",
                details={"estado": state.value},
            )
        return {"id": order_id.lower(), "estado": State.CANCELLED.value}

    async def _retry(self, order_id: str) -> dict[str, Any]:
        state = await self._lifecycle.reopen(order_id)
        if state is not None:
            raise Conflict(
                f"the order is {state.value}, not {State.FAILED.value}",
                field="id",
                hint=f"only an order that is {State.FAILED.value} can be tried again",
                details={"estado": state.value},
            )
        return {"id": order_id.lower(), "estado": State.QUEUED.value}


def _repair_view(repair: Repair) -> dict[str, Any]:
    """A repair of the store's files as clients see it."""
    return {
        "cuando": iso_time(repair.at),
        "motivos": repair.reasons,
        "ultimo_pedido": repair.orders_last,
        "sigue_en": repair.next,
        "faltan": repair.missing,
        "apartados": repair.set_aside,
        "tablas": repair.set_aside_in,
        "sin_progreso": repair.open,
    }


def _parts(order_id: str) -> tuple[int, int, int]:
    parts = parse_id(order_id)
    assert parts is not None, "ids of stored orders have parts"
    return parts


def _sequence(order_id: str) -> int:
    return _parts(order_id)[2]


def _encode_views(orders: Sequence[Order]) -> msgspec.Raw:
    return msgspec.Raw(encode_json([order_view(order) for order in orders]))


def _encode_cursor(before: int) -> str:
    return base64.urlsafe_b64encode(before.to_bytes(6, "big")).decode()


def _decode_cursor(text: str) -> int:
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 6:
        raise InvalidParams("cursor is not one that list gave", field="cursor", hint="leave it out for the first page")
    return int.from_bytes(raw, "big")
