"""Asks the server about every order it has acknowledged: there once, unchanged, and `listo` in the end."""

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from clients.errors import AnswerTimeout
from clients.intake import IntakeClient
from clients.loadtest.measure import Measure
from clients.loadtest.workload import Workload
from shared.domain.ids import parse_id
from shared.domain.orders import iso_time

_POLL_SECONDS = 0.1
_PAGE = 1000


class Verdict(Struct):
    """What was found; all lists but `checked` are of ids, or of request_ids where there is no id."""

    checked: int = 0
    lost: list[str] = []
    doubled: list[str] = []
    changed: list[str] = []
    unfinished: list[str] = []

    @property
    def passed(self) -> bool:
        """Whether the server kept its word."""
        return not (self.lost or self.doubled or self.changed or self.unfinished)


async def verify(
    client: IntakeClient, workload: Workload, measure: Measure, *, seconds: float, progress: Callable[[int], None]
) -> Verdict:
    """Waits up to `seconds` for the server to finish, then looks every order up."""
    verdict = Verdict()
    acknowledged = [order_id for order_id in measure.ids if order_id is not None]
    if not acknowledged:
        return verdict
    await _until_finished(client, seconds)
    seen = bytearray(workload.size)
    finals = {"listo"}
    async for order in _stored_since(client, min(acknowledged)):
        number = workload.number(order.get("request_id"))
        if number is None:
            continue
        seen[number] = min(seen[number] + 1, 2)
        if seen[number] > 1 or measure.ids[number] not in (None, order["id"]):
            verdict.doubled.append(order["id"])
        elif not workload.same(number, order):
            verdict.changed.append(order["id"])
        elif order["estado"] not in finals:
            verdict.unfinished.append(f"{order['id']} ({order['estado']})")
        verdict.checked += 1
        if verdict.checked % _PAGE == 0:
            progress(verdict.checked)
    progress(verdict.checked)
    verdict.lost = [
        order_id for number, order_id in enumerate(measure.ids) if order_id is not None and not seen[number]
    ]
    return verdict


async def _until_finished(client: IntakeClient, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while (await client.stats())["abiertos"]:
                await asyncio.sleep(_POLL_SECONDS)
    except (TimeoutError, AnswerTimeout):
        # What is not finished by now is about to be named, order by order.
        return


async def _stored_since(client: IntakeClient, first_id: str) -> Any:
    """Every order that the server has stored since the one with `first_id`, newest first, as it shows them."""
    parts = parse_id(first_id)
    assert parts is not None, "the server gave the id"
    since = iso_time(parts[0] * 1000)
    cursor: str | None = None
    while True:
        request = {"action": "list", "limite": _PAGE, "desde": since, "cursor": cursor}
        answer = await client.request(request, safe=True)
        for order in answer["pedidos"]:
            yield order
        cursor = answer["cursor"]
        if cursor is None:
            return
