"""The state of the intake that its actions work with."""

from collections.abc import Callable, Sequence
from typing import Any

from services.intake.metrics import IntakeMetrics
from services.intake.order_lifecycle import OrderLifecycle
from services.intake.readers import ReaderAuthentication
from shared.domain.errors import NotFound, Unauthorized
from shared.domain.ids import parse_id
from shared.domain.orders import Order, iso_time
from shared.domain.purchases import is_purchase_order
from shared.net.connection import Connection
from shared.server.actions import Members
from shared.server.common import CommonServer
from shared.stores.ports.orders import OrderStore, Repair


class IntakeServer(CommonServer):
    """The state and services of the intake that its handlers use."""

    def __init__(
        self,
        store: OrderStore,
        lifecycle: OrderLifecycle,
        *,
        metrics: IntakeMetrics,
        connections: Callable[[], int],
        readers: ReaderAuthentication,
        repairs: Sequence[Repair] = (),
    ) -> None:
        super().__init__(metrics)
        self.store = store
        self.lifecycle = lifecycle
        self.readers = readers
        self._connections = connections
        self._repairs = [_show_repair(repair) for repair in repairs]
        self.stopping = False
        self.store_trouble: str | None = None
        """Why the store refused the last orders; None when it took them."""

    def check_reader(self, connection: Connection) -> None:
        """See `CommonServer.check_reader`."""
        self.readers.check(connection)

    async def check_owner(self, connection: Connection, order_id: str) -> None:
        """Raises Unauthorized for a stranger if the order fulfils a purchase: its customer and the shop may end it."""
        if not self.readers.is_stranger(connection):
            return
        order = await self.store.get(order_id)
        if order is not None and is_purchase_order(order.request.request_id):
            raise Unauthorized(
                "the order fulfils a purchase, which other machines may not change",
                field="id",
                hint="customers cancel it in the shop; operators set INTAKE_READ_TOKEN and send it",
            )

    def describe_health(self) -> Members:
        """See `CommonServer.describe_health`."""
        workers = self.lifecycle.workers()
        ready = sum(worker.ready for worker in workers)
        whole = ready == len(workers) and self.store_trouble is None
        return {
            "status": "stopping" if self.stopping else "ok" if whole else "degraded",
            "store": self.store_trouble or "ok",
            "workers": {"ready": ready, "configured": len(workers)},
        }

    def describe_stats(self) -> Members:
        """Returns the numbers of orders, their times, and the workers."""
        now = self.lifecycle.snapshot()
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
                {"id": worker.id, "pid": worker.pid, "en_mano": worker.in_hand} for worker in self.lifecycle.workers()
            ],
            "reparaciones": self._repairs,
            "uptime_s": self.uptime_seconds,
        }

    async def find_order(self, order_id: str) -> Order:
        """Returns an order. Raises NotFound."""
        order = await self.store.get(order_id)
        if order is None:
            hint = None if parse_id(order_id) else "an id looks like 019aaf64-53c1-7d0e-8b2a-00000000002a"
            raise NotFound(f"there is no order {order_id}", field="id", hint=hint)
        return order


def _show_repair(repair: Repair) -> dict[str, Any]:
    """Returns a repair of the store's files as clients see it."""
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
