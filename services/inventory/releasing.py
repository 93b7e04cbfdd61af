"""Gives back what orders had taken that will not be done: those that end `fallido` or `cancelado`.

Events say which they are, as soon as they are. What no event has told of, a sweep finds: it asks the intake for every
order that holds something. It also clears away what is known of orders that are done.
"""

import asyncio
import time
from functools import partial

import structlog

from clients.distributed import DistributedClient
from clients.errors import ClientError, Refused
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient, StoredItem
from clients.replies import Members
from services.inventory.grants import granted
from services.inventory.patience import Patience
from services.inventory.reservations import Reserver
from shared.domain.orders import iso_time
from shared.domain.records import Condition
from shared.domain.states import State
from shared.domain.tables import INVENTORY, RESERVATIONS

ORDERS = {"name": "orders"}
"""The record in `INVENTORY` of the last event that was dealt with: `seq`."""

_EVENTS = ("order.failed", "order.cancelled")
_WAITING = 1000
_SWEEP_SECONDS = 3600.0
_SWEEP_SECONDS_WITHOUT_EVENTS = 15.0
# What a worker has sent before it was killed may still come for some time: as long as that, it has to find itself.
_KEPT_SECONDS = 300.0
_PAGE = 16
# The sweep works for a fifth of the time.
_REST = 4.0


class Releases:
    """Follows orders for as long as it is let. Without `distributed` there are no events, and sweeps come often."""

    def __init__(
        self, persistence: PersistenceClient, intake: IntakeClient, distributed: DistributedClient | None
    ) -> None:
        self._persistence = persistence
        self._intake = intake
        self._distributed = distributed
        self._reserver = Reserver(persistence)
        self._told: asyncio.Queue[Members] = asyncio.Queue(_WAITING)
        self._missed = asyncio.Event()
        self._patience = Patience("releases")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works until it is cancelled. Servers that are away are waited for."""
        async with asyncio.TaskGroup() as parts:
            if self._distributed is None:
                parts.create_task(self._sweep_often())
            else:
                parts.create_task(self._listen(self._distributed))
                parts.create_task(self._settle_told())
                parts.create_task(self._sweep_now_and_then())

    # Events.

    async def _listen(self, distributed: DistributedClient) -> None:
        position = await self._patience.ask(lambda: self._persistence.get_item(INVENTORY.name, ORDERS))
        since: int | None = 0 if position.item is None else position.item["seq"]
        while True:
            try:
                async for event in distributed.observe(["orders"], since=since, events=_EVENTS):
                    if event["event"] == "gap":
                        self._missed.set()
                    elif "seq" in event:
                        since = event["seq"]
                        await self._told.put(event)
            except Refused as refusal:
                if refusal.error == "invalid_params" and since is not None:
                    # The service has begun to count anew: what comes from now on is told, the rest is looked for.
                    self._log.warning("events are followed from now on", reason=refusal.message)
                    since = None
                    self._missed.set()
                    continue
                await self._patience.wait(refusal)
            except ClientError as error:
                await self._patience.wait(error)

    async def _settle_told(self) -> None:
        while True:
            told = [await self._told.get()]
            while not self._told.empty():
                told.append(self._told.get_nowait())
            held = await self._reserver.held([event["id"] for event in told])
            await asyncio.gather(*map(self._settle, held))
            position = {**ORDERS, "seq": told[-1]["seq"]}
            await self._patience.ask(partial(self._persistence.put_item, INVENTORY.name, position))

    async def _settle(self, order_id: str) -> tuple[State | None, bool]:
        """The state of an order that holds something, and whether that was given back; None is not known."""
        try:
            order = await self._patience.ask(partial(self._intake.status, order_id))
            if order.state is State.CANCELLED:
                return order.state, await self._reserver.release(order_id, order.items)
            if order.state is State.FAILED:
                return order.state, await self._reserver.release(order_id, order.items, order.attempts)
        except Refused as refusal:
            self._log.warning("what an order has taken stays taken", order=order_id, reason=refusal.message)
            return None, False
        return order.state, False

    # Sweeps.

    async def _sweep_often(self) -> None:
        while True:
            await self.sweep()
            await asyncio.sleep(_SWEEP_SECONDS_WITHOUT_EVENTS)

    async def _sweep_now_and_then(self) -> None:
        age = 0.0
        while True:
            self._missed.clear()
            await self.sweep(age)
            try:
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._missed.wait()
                age = 0.0
            except TimeoutError:
                age = _SWEEP_SECONDS

    async def sweep(self, age: float = 0.0) -> None:
        """Gives back what is held in vain, among what was last changed `age` seconds ago or earlier."""
        latest = _time_ago(age)
        cursor: str | None = None
        while True:
            began = time.monotonic()
            page = await self._patience.ask(
                partial(self._persistence.query, RESERVATIONS.name, "by_time", page_size=_PAGE, cursor=cursor)
            )
            for one in page.items:
                assert one.item is not None
                if one.item["at"] > latest:
                    return
                await self._tidy(one, one.item)
            cursor = page.cursor
            if cursor is None:
                return
            await asyncio.sleep((time.monotonic() - began) * _REST)

    async def _tidy(self, one: StoredItem, item: Members) -> None:
        settled = await asyncio.gather(*map(self._settle, granted(item)))
        if item["at"] > _time_ago(_KEPT_SECONDS) or any(
            state is not State.DONE and not released for state, released in settled
        ):
            return
        version = one.version + sum(released for _, released in settled)
        try:
            await self._persistence.delete_item(RESERVATIONS.name, {"id": item["id"]}, when=Condition(version=version))
        except ClientError as error:
            self._log.debug("reservations are cleared away another time", reason=error.message)


def _time_ago(seconds: float) -> str:
    return iso_time(time.time_ns() // 1000 - round(seconds * 1e6))
