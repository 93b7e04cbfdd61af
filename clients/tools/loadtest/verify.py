"""Asks the server about every order it has acknowledged: there once, unchanged, and `listo` in the end."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from clients.intake import IntakeClient
from clients.tools.loadtest.measure import Measure
from clients.tools.loadtest.workload import Workload
from shared.domain.ids import parse_id
from shared.domain.orders import iso_time
from shared.domain.states import FINAL, State

_POLL_SECONDS = 0.1
_STANDSTILL_POLLS = 10
_PAGE = 1000
_ASKED_AT_A_TIME = 500


class Work(Struct):
    """How the server worked off what it had accepted."""

    seconds: float
    """From the last answer until no order was open."""
    rate: float
    """Orders a second at most, as the server counts them; 0 where it could not tell."""
    handler_ms: float
    """How long an order takes the handler, in the middle."""


class Verdict(Struct):
    """The findings about the orders of a run; all lists are of ids, each `unfinished` one with its state."""

    checked: int = 0
    lost: list[str] = []
    doubled: list[str] = []
    changed: list[str] = []
    unfinished: list[str] = []
    work: Work | None = None
    """None where orders stayed open, perhaps those of others."""

    @property
    def passed(self) -> bool:
        """Whether the server kept its word."""
        return not (self.lost or self.doubled or self.changed or self.unfinished)


async def verify(
    client: IntakeClient,
    workload: Workload,
    measure: Measure,
    *,
    seconds: float,
    working: Callable[[int], None],
    progress: Callable[[int], None],
) -> Verdict:
    """Looks every order of a run up, and gives those that are open up to `seconds` to become `listo`.

    `working` gets the number of orders that are worked off, then `progress` the number of those that are verified.
    """
    verdict = Verdict()
    acknowledged = [order_id for order_id in measure.ids if order_id is not None]
    if not acknowledged:
        return verdict
    deadline = asyncio.get_running_loop().time() + seconds
    verdict.work = await _let_work(client, deadline, lambda left: working(max(0, len(acknowledged) - left)))
    seen = bytearray(len(measure.ids))
    waiting: list[tuple[str, State]] = []
    async for order in client.list(since=_received(min(acknowledged)), page_size=_PAGE):
        number = workload.number(order.request_id)
        if number is None or number >= len(seen):
            continue
        verdict.checked += 1
        if seen[number] or measure.ids[number] not in (None, order.id):
            verdict.doubled.append(order.id)
        elif not workload.same(number, order):
            verdict.changed.append(order.id)
        elif order.state is not State.DONE:
            waiting.append((order.id, order.state))
        seen[number] = 1
        progress(verdict.checked - len(waiting))
    verdict.lost = [
        order_id for number, order_id in enumerate(measure.ids) if order_id is not None and not seen[number]
    ]
    verdict.unfinished = await _unfinished(
        client, waiting, deadline, progress=lambda left: progress(verdict.checked - left)
    )
    return verdict


async def _let_work(client: IntakeClient, deadline: float, progress: Callable[[int], None]) -> Work | None:
    """Leaves the server alone while its open orders grow fewer: asking for each of them would cost it time.

    Calls `progress` with how many are open. Returns None where some stay open.
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
    return Work(round(loop.time() - began, 3), rate, handler_ms)


def _received(order_id: str) -> str:
    """The time of receipt that an id tells, at most a millisecond too early."""
    parts = parse_id(order_id)
    assert parts is not None, "the server gave the id"
    return iso_time(parts[0] * 1000)


async def _unfinished(
    client: IntakeClient, waiting: list[tuple[str, State]], deadline: float, *, progress: Callable[[int], None]
) -> list[str]:
    """Waits for orders, each given with the state it was last seen in, to become `listo`: those that do not."""
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
