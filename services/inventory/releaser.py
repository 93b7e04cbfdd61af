"""Releases the stock of orders that end `fallido` or `cancelado`.

Events report these orders as they end. A sweep finds the orders without an event: it asks the intake for the state of
every order that holds stock. It also removes reservations whose orders have all ended.
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
from services.inventory.grants import read_grants
from services.inventory.reservations import Reserver
from services.inventory.server_retry import ServerRetry
from shared.domain.orders import iso_time
from shared.domain.records import Condition
from shared.domain.states import CANCEL, FAIL, State
from shared.domain.tables import INVENTORY, RESERVATIONS
from shared.runtime.clock import read_clock
from shared.runtime.waiting import wait_for_event

EVENT_POSITION_KEY = {"name": "orders"}
"""The key in `INVENTORY` of the last processed event's number, `seq`."""

_ENDING_EVENTS = (FAIL.event, CANCEL.event)
_MAX_QUEUED_EVENTS = 1000
_SWEEP_SECONDS = 3600.0
_SWEEP_SECONDS_WITHOUT_EVENTS = 15.0
_PAGE = 16
# Pause after each page, as a multiple of the time that it took: the sweep works a fifth of the time.
_PAUSE_RATIO = 4.0


class ReservationReleaser:
    """Releases stock until cancelled. Without `distributed` there are no events, and sweeps are frequent.

    The record of a reservation is kept for `keep_seconds` after its last change: a request that a worker sent before it
    was killed may arrive late, and needs the record.
    """

    def __init__(
        self,
        persistence: PersistenceClient,
        intake: IntakeClient,
        distributed: DistributedClient | None,
        *,
        keep_seconds: float = 300.0,
    ) -> None:
        self._persistence = persistence
        self._intake = intake
        self._distributed = distributed
        self._keep_seconds = keep_seconds
        self._reserver = Reserver(persistence)
        self._events: asyncio.Queue[Members] = asyncio.Queue(_MAX_QUEUED_EVENTS)
        self._events_missed = asyncio.Event()
        self._server_retry = ServerRetry("releases")
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works until cancelled. Waits for servers that are unavailable."""
        async with asyncio.TaskGroup() as parts:
            if self._distributed is None:
                parts.create_task(self._sweep_without_events())
            else:
                parts.create_task(self._follow_events(self._distributed))
                parts.create_task(self._process_events())
                parts.create_task(self._sweep_with_events())

    # Events.

    async def _follow_events(self, distributed: DistributedClient) -> None:
        position = await self._server_retry.retry_until_answered(
            lambda: self._persistence.get_item(INVENTORY.name, EVENT_POSITION_KEY)
        )
        since: int | None = 0 if position.item is None else position.item["seq"]
        while True:
            try:
                async for event in distributed.observe(["orders"], since=since, events=_ENDING_EVENTS):
                    if event["event"] == "gap":
                        self._events_missed.set()
                    elif "seq" in event:
                        since = event["seq"]
                        await self._events.put(event)
            except Refused as refusal:
                if refusal.error == "invalid_params" and since is not None:
                    # The service has restarted its numbering: new events are followed, and the sweep finds the missed
                    # ones.
                    self._log.warning("event_position_reset", reason=refusal.message)
                    since = None
                    self._events_missed.set()
                    continue
                await self._server_retry.wait_after_error(refusal)
            except ClientError as error:
                await self._server_retry.wait_after_error(error)

    async def _process_events(self) -> None:
        while True:
            events = [await self._events.get()]
            while not self._events.empty():
                events.append(self._events.get_nowait())
            held = await self._reserver.load_held([event["id"] for event in events])
            await asyncio.gather(*map(self._release_ended_order, held))
            position = {**EVENT_POSITION_KEY, "seq": events[-1]["seq"]}
            await self._server_retry.retry_until_answered(partial(self._persistence.put_item, INVENTORY.name, position))

    async def _release_ended_order(self, order_id: str) -> tuple[State | None, bool]:
        """Returns the state of an order, None if it is unknown, and whether its stock was released."""
        try:
            order = await self._server_retry.retry_until_answered(partial(self._intake.status, order_id))
            if order.state is State.CANCELLED:
                return order.state, await self._reserver.release_order(order_id, order.items)
            if order.state is State.FAILED:
                return order.state, await self._reserver.release_order(order_id, order.items, order.attempts)
        except Refused as refusal:
            self._log.warning("reservation_release_failed", order=order_id, reason=refusal.message)
            return None, False
        return order.state, False

    # Sweeps.

    async def _sweep_without_events(self) -> None:
        while True:
            await self.sweep_reservations()
            await asyncio.sleep(_SWEEP_SECONDS_WITHOUT_EVENTS)

    async def _sweep_with_events(self) -> None:
        age = 0.0
        while True:
            self._events_missed.clear()
            await self.sweep_reservations(age)
            age = 0.0 if await wait_for_event(self._events_missed, _SWEEP_SECONDS) else _SWEEP_SECONDS

    async def sweep_reservations(self, age: float = 0.0) -> None:
        """Releases the stock of ended orders in records that last changed at least `age` seconds ago."""
        latest = _time_ago(age)
        cursor: str | None = None
        while True:
            began = time.monotonic()
            page = await self._server_retry.retry_until_answered(
                partial(self._persistence.query, RESERVATIONS.name, "by_time", page_size=_PAGE, cursor=cursor)
            )
            for stored in page.items:
                assert stored.item is not None
                if stored.item["at"] > latest:
                    return
                await self._remove_finished(stored, stored.item)
            cursor = page.cursor
            if cursor is None:
                return
            await asyncio.sleep((time.monotonic() - began) * _PAUSE_RATIO)

    async def _remove_finished(self, stored: StoredItem, item: Members) -> None:
        results = await asyncio.gather(*map(self._release_ended_order, read_grants(item)))
        if item["at"] > _time_ago(self._keep_seconds) or any(
            state is not State.DONE and not released for state, released in results
        ):
            return
        version = stored.version + sum(released for _, released in results)
        try:
            await self._persistence.delete_item(RESERVATIONS.name, {"id": item["id"]}, when=Condition(version=version))
        except ClientError as error:
            self._log.debug("reservation_cleanup_postponed", reason=error.message)


def _time_ago(seconds: float) -> str:
    return iso_time(read_clock() - round(seconds * 1e6))
