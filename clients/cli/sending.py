"""Sending orders from the command line: many at a time, or a sample now and then."""

import asyncio
import itertools
import random
from collections.abc import Sequence

from clients.cli.orders import Members
from clients.cli.output import Output, attempts_text, fail
from clients.errors import ClientError, Refused
from clients.intake import IntakeClient
from clients.replies import Accepted, StoredOrder
from shared.domain.states import State
from shared.runtime.programs import client_command

_AT_A_TIME = 200
_SAMPLES = ("pan", "agua", "queso", "café", "manzanas", "aceite", "arroz", "vino")


async def send_orders(client: IntakeClient, orders: Sequence[Members], output: Output, *, follow: bool) -> int:
    """Places orders, and with `follow` waits until each is final.

    Returns the exit status: 1 if any was refused, or has ended otherwise than `listo` while it was followed.

    A refused order costs only itself; the error says which of several it was, counted from 1.
    """
    status = 0
    for start in range(0, len(orders), _AT_A_TIME):
        placing = (_outcome(client, order) for order in orders[start : start + _AT_A_TIME])
        for number, outcome in enumerate(await asyncio.gather(*placing), start + 1):
            if isinstance(outcome, Refused):
                status = fail(_named(outcome, number) if len(orders) > 1 else outcome)
                continue
            output.accepted(outcome)
            if follow:
                final = await client.follow(outcome.id)
                output.final(final)
                if final.state is not State.DONE:
                    status = fail(_not_done(final))
    return status


def _not_done(order: StoredOrder) -> ClientError:
    after = f" after {attempts_text(order.attempts)}" if order.attempts else ""
    reason = f": {order.detail}" if order.detail else ""
    return ClientError(
        f"order {order.id} ended {order.state.value}{after}{reason}",
        hint=f"{client_command()} explain {order.id} shows each attempt",
    )


def _named(refusal: Refused, number: int) -> ClientError:
    return ClientError(f"order {number}: {refusal.message}", hint=refusal.hint)


async def _outcome(client: IntakeClient, order: Members) -> Accepted | Refused:
    try:
        return await client.order(order)
    except Refused as refusal:
        return refusal


async def send_samples(client: IntakeClient, output: Output, *, every: float, count: int | None) -> int:
    """Sends a sample order every so many seconds, `count` of them or until stopped; gives the exit status.

    A server that is away is told of, and tried again with the next order.
    """
    for number in itertools.count(1):
        products = random.sample(_SAMPLES, random.randint(1, 4))
        sample = {"cliente": f"Cliente {number}", "productos": products, "direccion": f"Calle Mayor {number}"}
        try:
            output.accepted(await client.order(sample))
        except ClientError as error:
            fail(error)
        if number == count:
            break
        await asyncio.sleep(every)
    return 0
