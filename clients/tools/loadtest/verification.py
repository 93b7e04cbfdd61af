"""Verifies each acknowledged order: stored once, unchanged, and finally `listo`."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from clients.intake import IntakeClient
from clients.tools.loadtest.measurements import Measurements
from clients.tools.loadtest.workload import Workload
from shared.domain.ids import parse_id
from shared.domain.orders import iso_time
from shared.domain.states import FINAL, State

_POLL_SECONDS = 0.1
_STANDSTILL_POLLS = 10
_PAGE = 1000
_ASKED_AT_A_TIME = 500


class ProcessingStats(Struct):
    """The processing of the accepted orders."""

    seconds: float
    """The time from the last answer until no order was open."""
    rate: float
    """The maximum of the server's orders a second; 0 if it is unknown."""
    handler_ms: float
    """The median time of an order in the handler."""


class VerificationResult(Struct):
    """The result of a verification. All lists have ids; `unfinished` adds the state to each."""

    checked: int = 0
    lost: list[str] = []
    doubled: list[str] = []
    changed: list[str] = []
    unfinished: list[str] = []
    work: ProcessingStats | None = None
    """None if orders stayed open, possibly those of other clients."""

    @property
    def passed(self) -> bool:
        """Whether all lists are empty."""
        return not (self.lost or self.doubled or self.changed or self.unfinished)


async def verify_orders(
    client: IntakeClient,
    workload: Workload,
    measure: Measurements,
    *,
    seconds: float,
    working: Callable[[int], None],
    progress: Callable[[int], None],
) -> VerificationResult:
    """Verifies the orders of a run. Waits up to `seconds` for open ones to become `listo`.

    `working` gets the number of processed orders, then `progress` the number of verified ones.
    """
    verdict = VerificationResult()
    acknowledged = [order_id for order_id in measure.ids if order_id is not None]
    if not acknowledged:
        return verdict
    deadline = asyncio.get_running_loop().time() + seconds
    verdict.work = await _wait_for_processing(client, deadline, lambda left: working(max(0, len(acknowledged) - left)))
    seen = bytearray(len(measure.ids))
    waiting: list[tuple[str, State]] = []
    async for order in client.list(since=_receipt_time(min(acknowledged)), page_size=_PAGE):
        number = workload.find_number(order.request_id)
        if number is None or number >= len(seen):
            continue
        verdict.checked += 1
        if seen[number] or measure.ids[number] not in (None, order.id):
            verdict.doubled.append(order.id)
        elif not workload.matches_order(number, order):
            verdict.changed.append(order.id)
        elif order.state is not State.DONE:
            waiting.append((order.id, order.state))
        seen[number] = 1
        progress(verdict.checked - len(waiting))
    verdict.lost = [
        order_id for number, order_id in enumerate(measure.ids) if order_id is not None and not seen[number]
    ]
    verdict.unfinished = await _wait_for_unfinished(
        client, waiting, deadline, progress=lambda left: progress(verdict.checked - left)
    )
    return verdict


async def _wait_for_processing(
    client: IntakeClient, deadline: float, progress: Callable[[int], None]
) -> ProcessingStats | None:
    """Waits while the number of open orders falls; asking for each of them would slow the server down.

    Calls `progress` with the number of open orders. Returns None if some stay open.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    stats = await client.stats()
    fewest, rate, still = stats["abiertos"], stats.get("por_segundo") or 0.0, 0
    progress(fewest)
    while fewest and still < _STANDSTILL_POLLS and loop.time() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        stats = await client.stats()
        left = stats["abiertos"]
        still = 0 if left < fewest else still + 1
        fewest = min(fewest, left)
        rate = max(rate, stats.get("por_segundo") or 0.0)
        progress(fewest)
    if fewest:
        return None
    handler_ms = stats.get("proceso_ms", {}).get("p50") or 0.0
    return ProcessingStats(round(loop.time() - began, 3), rate, handler_ms)


def _receipt_time(order_id: str) -> str:
    """Returns the time of receipt in an id, which is at most a millisecond too early."""
    parts = parse_id(order_id)
    assert parts is not None, "the server gave the id"
    return iso_time(parts[0] * 1000)


async def _wait_for_unfinished(
    client: IntakeClient, waiting: list[tuple[str, State]], deadline: float, *, progress: Callable[[int], None]
) -> list[str]:
    """Waits for orders, given with their last known states, to become `listo`. Returns those that do not."""
    loop = asyncio.get_running_loop()
    ended: list[str] = []
    while waiting:
        asked, rest = waiting[:_ASKED_AT_A_TIME], waiting[_ASKED_AT_A_TIME:]
        orders = await asyncio.gather(*(client.status(order_id) for order_id, _ in asked))
        ended += [f"{order.id} ({order.state})" for order in orders if order.state in FINAL - {State.DONE}]
        still_open = [(order.id, order.state) for order in orders if order.state not in FINAL]
        waiting = still_open + rest
        if loop.time() >= deadline:
            return ended + [f"{order_id} ({state})" for order_id, state in waiting]
        progress(len(waiting))
        if len(still_open) == len(orders):
            await asyncio.sleep(_POLL_SECONDS)
    return ended
